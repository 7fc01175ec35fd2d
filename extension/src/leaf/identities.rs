//! The ids that columns, attributes and enum labels have in row leaves: our own, given once, so that a rename, a dump or
//! another cluster changes no leaf. Read from `strata._attribute_ids` and `strata._label_ids`; new ones are given by SQL.

use std::collections::HashMap;

use pgrx::pg_sys;

use crate::catalog;

/// A column that has not been dropped.
pub struct Column {
    /// Its place in the tuple, from 0.
    pub place: usize,
    pub id: u32,
    pub name: String,
    pub type_oid: pg_sys::Oid,
    /// The bytes of its absent value, where that is not NULL.
    pub absent: Option<Vec<u8>>,
}

/// The columns of a relation, each with its id. Columns that have none yet are given one.
pub unsafe fn attributes(relation: pg_sys::Oid) -> Vec<Column> {
    unsafe {
        let mut known = catalog::attribute_ids(relation);
        let live = live(relation);
        if !live.iter().all(|(number, _, _)| known.contains_key(number)) {
            call(&format!("SELECT strata._identify_attributes({}::pg_catalog.regclass)", relation.to_u32()));
            known = catalog::attribute_ids(relation);
        }
        live.into_iter()
            .filter_map(|(number, name, type_oid)| {
                let place = usize::try_from(number - 1).ok()?;
                let (id, absent) = known.remove(&number)?;
                Some(Column { place, id, name, type_oid, absent })
            })
            .collect()
    }
}

/// The columns of a partition, with the ids of the table it is a partition of: names are the same, places need not be.
pub unsafe fn attributes_of_partition(partition: pg_sys::Oid, root: pg_sys::Oid) -> Vec<Column> {
    unsafe {
        let mut columns = attributes(root);
        if partition != root {
            let places: HashMap<String, i16> =
                live(partition).into_iter().map(|(number, name, _)| (name, number)).collect();
            columns.retain_mut(|column| {
                let number = places.get(&column.name).copied().unwrap_or(0);
                usize::try_from(number - 1).map(|place| column.place = place).is_ok()
            });
        }
        columns
    }
}

/// Number, name and type of the columns there are.
pub unsafe fn live(relation: pg_sys::Oid) -> Vec<(i16, String, pg_sys::Oid)> {
    unsafe {
        let opened = pg_sys::relation_open(relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        let descriptor = (*opened).rd_att;
        let columns = (0..(*descriptor).natts as usize)
            .map(|place| &(*descriptor).attrs.as_slice((*descriptor).natts as usize)[place])
            .filter(|column| !column.attisdropped)
            .map(|column| {
                let name = std::ffi::CStr::from_ptr(column.attname.data.as_ptr());
                (column.attnum, name.to_string_lossy().into_owned(), column.atttypid)
            })
            .collect();
        pg_sys::relation_close(opened, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        columns
    }
}

/// The labels of an enum, by their OIDs. Labels that have no id yet are given one.
pub unsafe fn labels(enum_type: pg_sys::Oid) -> HashMap<pg_sys::Oid, u32> {
    unsafe {
        call(&format!("SELECT strata._identify_labels({}::pg_catalog.regtype)", enum_type.to_u32()));
        catalog::label_ids(enum_type)
    }
}

/// The id of a label.
pub fn label(labels: &HashMap<pg_sys::Oid, u32>, oid: pg_sys::Oid) -> u32 {
    if let Some(id) = labels.get(&oid) {
        *id
    } else {
        pgrx::error!("enum label with OID {} has no id", oid.to_u32())
    }
}

/// Runs a statement as the owner of the catalog: whoever writes a row has no right on it. Every name in it is whole, since
/// it is parsed by the writer's `search_path`.
pub unsafe fn call(statement: &str) {
    unsafe {
        let Some(owner) = catalog::owner() else { return };
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // (an error ends the transaction, or the subtransaction, which puts the user back)
        pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
        let restricted =
            context | (pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION) as i32;
        pg_sys::SetUserIdAndSecContext(owner, restricted);
        if let Err(problem) = pgrx::Spi::run(statement) {
            pgrx::error!("{statement}: {problem}");
        }
        pg_sys::SetUserIdAndSecContext(user, context);
    }
}

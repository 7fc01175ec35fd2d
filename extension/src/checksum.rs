//! Row leaves and batch checksums from stored values. Layout and hashing are strata-core's; the statements that bring
//! each column into its wire form are made in `sql/functions/batches/verify_batches.sql`.

// The calling convention hands arrays over by value.
#![allow(clippy::needless_pass_by_value)]

use pgrx::prelude::*;
use strata_core::encoding::{RowHasher, Tag};
use strata_core::{jsonb, merkle};

/// `strata._row_leaf(table_uuid uuid, column_ids int[], tags int[], VARIADIC column_values bytea[]) RETURNS bytea`
#[pg_extern(sql = false)]
fn row_leaf(
    table_uuid: pgrx::datum::Uuid,
    column_ids: pgrx::Array<i32>,
    tags: pgrx::Array<i32>,
    column_values: pgrx::VariadicArray<&[u8]>,
) -> Vec<u8> {
    if column_ids.len() != tags.len() || column_ids.len() != column_values.len() {
        error!("column ids, tags and values of a row differ in number");
    }
    let mut hasher = RowHasher::new(*table_uuid.as_bytes());
    hasher.begin();
    for ((id, tag), value) in column_ids.iter().zip(tags.iter()).zip(column_values.iter()) {
        let (Some(id), Some(tag)) = (id, tag) else { error!("a column id or tag is NULL") };
        // NULL is the absent value of every column so far, and absent columns are left out
        let Some(value) = value else { continue };
        let (Ok(id), Some(tag)) = (u32::try_from(id), Tag::from_number(tag)) else {
            error!("no column id {id} with tag {tag} in row encoding version 1")
        };
        hasher.column(id, tag, value);
    }
    hasher.finish().to_vec()
}

/// `strata._type_tag(type oid) RETURNS int`: the tag of a type in row encoding version 1, NULL if it has none.
#[pg_extern(sql = false)]
fn type_tag(type_oid: pgrx::pg_sys::Oid) -> Option<i32> {
    strata_core::encoding::tag_of_type(type_oid.to_u32()).map(|tag| tag as i32)
}

/// `strata._sorted_root(leaves bytea[]) RETURNS bytea`
#[pg_extern(sql = false)]
fn sorted_root(leaves: pgrx::Array<&[u8]>) -> Vec<u8> {
    let mut hashes: Vec<merkle::Hash> = leaves
        .iter()
        .map(|leaf| {
            let Some(Ok(hash)) = leaf.map(merkle::Hash::try_from) else {
                error!("a row leaf is not 32 bytes long")
            };
            hash
        })
        .collect();
    merkle::sorted_root(&mut hashes).to_vec()
}

/// `strata._jsonb_canonical(value text) RETURNS bytea`
#[pg_extern(sql = false)]
fn jsonb_canonical(value: &str) -> Vec<u8> {
    match jsonb::canonical(value) {
        Ok(bytes) => bytes,
        Err(problem) => error!("jsonb value has no canonical bytes: {problem}"),
    }
}

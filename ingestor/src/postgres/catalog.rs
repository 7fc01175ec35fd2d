//! What the catalog says about event tables, and the calls that keep them going: partitions, rollups.
//! Never: rows, leases.

use super::Session;
use super::types::{Micros, Uuid};
use crate::decode::plan::{CatalogColumn, CatalogTable, CatalogTarget, Shape};
use crate::error::{Error, Kind, Result};
use crate::layout::{Layout, Leaf};

/// One number for the columns a table has.
pub(super) const FINGERPRINT: &str = "SELECT hashtextextended(string_agg(format('%s %I %s %s %s %s%s %s %s', a.attnum, a.attname, \
                            a.atttypid, a.atttypmod, a.attnotnull OR t.typnotnull, a.attgenerated, a.attidentity, \
                            a.attrelid, t.typtypmod), ',' ORDER BY a.attnum), 0) \
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped";

/// The window of event times a table accepts, both ends included.
pub type Accepted = (i64, i64);

impl Session {
    /// A table as the catalog tells it, and its accepted window now. An unknown one is answered with those there are.
    pub async fn table(&self, relation: &str) -> Result<(CatalogTable, Accepted)> {
        // Before the columns: what changes in between shows at the first batch.
        let fingerprint = match self.fingerprint(relation).await {
            Ok(fingerprint) => fingerprint,
            Err(error) => return Err(self.explain(relation, error).await),
        };
        match self.target_table(relation, fingerprint).await {
            Ok(Some(table)) => return Ok((table, (i64::MIN, i64::MAX))),
            Ok(None) => {}
            Err(error) => return Err(self.explain(relation, error).await),
        }
        let client = &self.client;
        let names = "SELECT format('%I.%I', n.nspname, c.relname), t.table_uuid, t.time_column::text, \
                            t.accept_lower, t.accept_upper \
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, \
                          LATERAL strata._ingest_table(c.oid::regclass) AS t \
                     WHERE c.oid = $1::text::regclass";
        let row = match client.query_opt(names, &[&relation]).await.map_err(|e| self.failed(&e)) {
            Ok(Some(row)) => row,
            Ok(None) => return Err(self.unknown_table(relation).await),
            Err(error) => return Err(self.explain(relation, error).await),
        };
        let uuid: Uuid = row.get(1);
        let (lower, upper): (Option<Micros>, Option<Micros>) = (row.get(3), row.get(4));
        let columns = self.columns("strata._ingest_columns($1::text::regclass)", relation).await?;
        let target = CatalogTarget::Events { table: uuid.0, time_column: row.get(2) };
        let table = CatalogTable { relation: row.get(0), target, fingerprint, columns };
        Ok((table, (lower.map_or(i64::MIN, |m| m.0), upper.map_or(i64::MAX, |m| m.0))))
    }

    /// What tells whether a table's columns were altered: their places, names, types and rights to be NULL.
    pub(super) async fn fingerprint(&self, relation: &str) -> Result<i64> {
        let row = self.client.query_one(FINGERPRINT, &[&relation]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// A table that changes are applied to, if it is one.
    async fn target_table(&self, relation: &str, fingerprint: i64) -> Result<Option<CatalogTable>> {
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), t.key::text[] \
                   FROM strata.target_tables t JOIN pg_class c ON c.oid = t.relation \
                   JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.relation = $1::text::regclass";
        let row = self.client.query_opt(sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        let Some(row) = row else { return Ok(None) };
        let key: Option<Vec<String>> = row.get(1);
        let key = key.ok_or_else(|| {
            Error::usage(format!(
                "target table \"{relation}\" has lost its primary key, by which changes are applied"
            ))
        })?;
        // An identity column may be the key: it is written, whatever its default.
        let columns = "(SELECT a.attnum::int AS column_id, a.attname AS name, strata._base_type(a.atttypid) AS type, \
                               format_type(a.atttypid, a.atttypmod) AS type_name, \
                               CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS typmod, \
                               a.attnotnull OR t.typnotnull AS not_null, a.attgenerated <> '' AS is_generated, \
                               a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '' AS has_default \
                        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                        WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped)";
        let columns = self.columns(columns, relation).await?;
        Ok(Some(CatalogTable {
            relation: row.get(0),
            target: CatalogTarget::Keyed { key },
            fingerprint,
            columns,
        }))
    }

    /// Columns of a table, with what must be known of their types.
    async fn columns(&self, source: &str, relation: &str) -> Result<Vec<CatalogColumn>> {
        let sql = format!(
            "SELECT c.column_id, c.name::text, c.type, c.type_name, c.typmod, c.not_null, c.is_generated, \
                    t.typtype = 'e', e.oid, b.oid, b.typtype = 'e', \
                    CASE e.typtype WHEN 'd' THEN e.typtypmod ELSE c.typmod END, c.has_default \
             FROM {source} c JOIN pg_type t ON t.oid = c.type \
             LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' \
             LEFT JOIN pg_type b ON b.oid = strata._base_type(e.oid) ORDER BY c.column_id"
        );
        let columns = self.client.query(&sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        let columns = columns
            .iter()
            .map(|row| CatalogColumn {
                id: row.get(0),
                name: row.get(1),
                type_oid: row.get(2),
                type_name: row.get(3),
                typmod: row.get(4),
                not_null: row.get(5),
                is_generated: row.get(6),
                has_default: row.get(12),
                shape: match row.get::<_, Option<u32>>(8) {
                    Some(oid) => {
                        Shape::Array { oid, base: row.get(9), labels: row.get(10), typmod: row.get(11) }
                    }
                    None if row.get(7) => Shape::Enum,
                    None => Shape::Plain,
                },
            })
            .collect();
        Ok(columns)
    }

    /// The window of event times a table accepts now.
    async fn accepted(&self, relation: &str) -> Result<Accepted> {
        let sql = "SELECT accept_lower, accept_upper FROM strata._ingest_table($1::text::regclass)";
        let row = self.client.query_one(sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        let (lower, upper): (Option<Micros>, Option<Micros>) = (row.get(0), row.get(1));
        Ok((lower.map_or(i64::MIN, |m| m.0), upper.map_or(i64::MAX, |m| m.0)))
    }

    /// What is wrong, when asking about a table failed.
    async fn explain(&self, relation: &str, error: Error) -> Error {
        match error.code.as_deref() {
            // Undefined table, schema or function, wrong name, and our own refusals.
            Some("42P01" | "3F000" | "42602" | "22023") => self.unknown_table(relation).await,
            Some("42883") => Error::no_extension(),
            // The server says what to ask of whom.
            Some("42501") => Error { kind: Kind::Usage, ..error },
            Some(code) if code.starts_with("ST") => self.unknown_table(relation).await,
            _ => error,
        }
    }

    async fn unknown_table(&self, relation: &str) -> Error {
        let existing = match self.event_tables().await {
            Ok(tables) if tables.is_empty() => "there is none that this role may see".to_owned(),
            Ok(tables) => format!("there are {}", tables.join(", ")),
            Err(error) if matches!(error.code.as_deref(), Some("42P01" | "3F000")) => {
                return Error::no_extension();
            }
            Err(error) => return error,
        };
        Error::usage(format!(
            "\"{relation}\" is not an event table: {existing}; its owner can run: \
             SELECT strata.create_event_table('{relation}', '<time column>'), \
             or SELECT strata.create_target_table('{relation}') to have changes applied by primary key"
        ))
    }

    /// Names of the event tables this role may see.
    pub async fn event_tables(&self) -> Result<Vec<String>> {
        let rows = self
            .client
            .query("SELECT relation::text FROM strata.event_tables ORDER BY 1", &[])
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Makes the partitions that event times between two need, in a transaction of its own, and tells which there are.
    pub async fn prepare_batch(&self, relation: &str, range: Option<(i64, i64)>) -> Result<Layout> {
        let Some((lower, upper)) = range else {
            return Ok(Layout { leaves: Vec::new(), accepted: (i64::MIN, i64::MAX), confirmed: false });
        };
        let sql = "SELECT partition_oid, partition_lower, partition_upper, accept_lower, accept_upper \
                   FROM strata._prepare_batch($1::text::regclass, $2, $3)";
        let rows = self
            .client
            .query(sql, &[&relation, &Micros(lower), &Micros(upper)])
            .await
            .map_err(|e| self.failed(&e).while_doing("making partitions"))?;
        let mut layout = Layout { leaves: Vec::new(), accepted: (i64::MIN, i64::MAX), confirmed: false };
        for row in &rows {
            let bound = |i: usize, open: i64| row.get::<_, Option<Micros>>(i).map_or(open, |m| m.0);
            layout.accepted = (bound(3, i64::MIN), bound(4, i64::MAX));
            if let Some(oid) = row.get::<_, Option<u32>>(0) {
                layout.leaves.push(Leaf { oid, lower: bound(1, i64::MIN), upper: bound(2, i64::MAX) });
            }
        }
        if rows.is_empty() {
            // All times lie where there is no partition; the window tells those outside it from the others.
            layout.accepted = self.accepted(relation).await?;
        }
        layout.leaves.sort_by_key(|leaf| leaf.lower);
        Ok(layout)
    }

    /// Rollups over a table.
    pub async fn rollups_of(&self, relation: &str) -> Result<Vec<String>> {
        let sql = "SELECT rollup::text FROM strata.rollups WHERE source = $1::text::regclass ORDER BY 1";
        let rows = self.client.query(sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Folds a rollup's pending batches in; returns how many.
    pub async fn refresh_rollup(&self, rollup: &str) -> Result<i64> {
        let sql = "SELECT strata.refresh_rollup($1::text::regclass)::bigint";
        let row = self.client.query_one(sql, &[&rollup]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get::<_, Option<i64>>(0).unwrap_or_default())
    }

    /// Version of the extension.
    pub async fn version(&self) -> Result<String> {
        let sql = "SELECT format('%s (%s)', extension_version, flavour) FROM strata.version()";
        let row = self.client.query_one(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }
}

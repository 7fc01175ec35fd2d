//! Changes by key: copied into a stage, then merged into their table by one statement, in the transaction of the
//! batch. Never: which of several changes of a key counts.

use super::Session;
use super::copy::Copied;
use super::write::{Writer, altered, ours, quote};
use crate::batch::{Arranged, Batch, Place, Refused};
use crate::decode::plan::{TablePlan, Target};
use crate::error::Result;
use tokio_postgres::Statement;

/// SQLSTATE of a row that is there already.
const UNIQUE_VIOLATION: &str = "23505";

/// Statements for one table, for one session.
pub struct Apply {
    /// The temporary table, qualified.
    pub stage: String,
    merge: Statement,
    empty: Statement,
}

impl Apply {
    /// Makes the stage of a table that changes are applied to; `None`: it is none.
    pub async fn prepare(session: &Session, plan: &TablePlan) -> Result<Option<Self>> {
        let Target::Keyed { key } = &plan.target else { return Ok(None) };
        let failed = |e: tokio_postgres::Error| {
            altered(ours(session.failed(&e))).while_doing("making the stage of changes")
        };
        let names: Vec<&str> = plan.columns.iter().map(|c| c.name.as_str()).collect();
        let sql = "SELECT strata._make_stage($1::text::regclass, $2::text[]::name[])";
        let stage: String =
            session.client.query_one(sql, &[&plan.relation, &names]).await.map_err(failed)?.get(0);
        let merge = session.client.prepare(&merge_statement(plan, key, &stage)).await.map_err(failed)?;
        let empty = session.client.prepare(&format!("DELETE FROM {stage}")).await.map_err(failed)?;
        Ok(Some(Self { stage, merge, empty }))
    }

    /// Takes out what was merged.
    pub async fn empty(&self, session: &Session) -> Result<()> {
        session.client.execute(&self.empty, &[]).await.map(drop).map_err(|e| ours(session.failed(&e)))
    }

    /// Merges what is in the stage. Somebody else may insert a row while the statement runs, which is no fault of
    /// ours: a single change is tried once more, and finds it.
    pub async fn merge(&self, session: &Session, single: bool) -> Result<()> {
        let run = || async {
            session.client.execute(&self.merge, &[]).await.map(drop).map_err(|e| session.failed(&e))
        };
        if !single {
            return run().await;
        }
        session.run("SAVEPOINT strata_merge").await?;
        match run().await {
            Err(error) if error.code.as_deref() == Some(UNIQUE_VIOLATION) => {
                session.run("ROLLBACK TO SAVEPOINT strata_merge").await?;
                run().await
            }
            other => other,
        }
    }
}

impl Writer {
    /// Copies what a batch comes to. Where a change is refused, the one before it of its key is tried instead: it is
    /// good, and was only left out because the other was to come.
    pub(super) async fn copy_or_fall_back(
        &self,
        batch: &Batch,
        arranged: &Arranged,
        places: Vec<Place>,
    ) -> Result<Copied> {
        let mut next = places;
        let (mut places, mut refused) = (Vec::new(), Vec::<Refused>::new());
        loop {
            match self.copy_rows(batch, next).await? {
                Copied::Rows(stored, set_aside) => {
                    places.extend(stored);
                    let before = |r: &Refused| arranged.before.get(&(r.chunk, r.row?)).copied();
                    next = set_aside.iter().filter_map(before).collect();
                    refused.extend(set_aside);
                }
                too_many @ Copied::TooManyRefused(_) => return Ok(too_many),
            }
            if next.is_empty() {
                return Ok(Copied::Rows(places, refused));
            }
        }
    }
}

/// The statement that brings a table to what the stage says. Columns of the key are what rows are found by, so they
/// are never set.
fn merge_statement(plan: &TablePlan, key: &[usize], stage: &str) -> String {
    let name = |at: usize| quote(&plan.columns[at].name);
    let on: Vec<String> = key.iter().map(|at| format!("t.{0} = s.{0}", name(*at))).collect();
    let set: Vec<String> = (0..plan.columns.len())
        .filter(|at| !key.contains(at))
        .map(|at| {
            format!("{0} = CASE WHEN {1} = ANY (s.strata_kept) THEN t.{0} ELSE s.{0} END", name(at), at + 1)
        })
        .collect();
    let update =
        if set.is_empty() { "DO NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
    let columns: Vec<String> = (0..plan.columns.len()).map(name).collect();
    let values: Vec<String> = columns.iter().map(|column| format!("s.{column}")).collect();
    format!(
        "MERGE INTO {} AS t USING {stage} AS s ON {} \
         WHEN MATCHED AND s.strata_deleted THEN DELETE \
         WHEN MATCHED THEN {update} \
         WHEN NOT MATCHED AND NOT s.strata_deleted THEN \
             INSERT ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
        plan.relation,
        on.join(" AND "),
        columns.join(", "),
        values.join(", ")
    )
}

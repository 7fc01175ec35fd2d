//! The steps of maintenance, each a transaction that waits for locks no longer than it is told, and the one statement
//! of DDL that must be sent from outside. Never: how often a step is tried, what follows from its outcome.

use super::types::Micros;
use super::{Database, Session};
use crate::error::{Error, Result};
use serde::Serialize;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

/// First half of the key under which one process at a time maintains a table; the second is the table's OID.
const MAINTAIN_LOCK: i64 = 0x7374_7261;

/// A partition past retention.
#[derive(Debug, Clone, Serialize)]
pub struct Expired {
    /// Its table.
    pub relation: String,
    /// The partition.
    pub partition: String,
    /// The instant it ends at.
    pub upper: String,
    /// Its size.
    pub bytes: i64,
    /// What holds it back; `None`: nothing.
    pub blocked_by: Option<String>,
}

/// A partition that may be detached now.
#[derive(Debug, Clone)]
pub struct Detachable {
    /// The partition.
    pub partition: String,
    /// Its size.
    pub bytes: i64,
    /// What an owner may send outside a transaction; `None`: we are not the owner.
    pub statement: Option<String>,
}

/// What a step did to one partition.
#[derive(Debug, Clone)]
pub struct Done {
    /// The partition.
    pub partition: Option<String>,
    /// Its size.
    pub bytes: Option<i64>,
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// Opens a transaction that waits for each lock so long at most.
    async fn begin(&self, lock_timeout_ms: u64) -> Result<()> {
        self.run(&format!("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {lock_timeout_ms}"))
            .await
    }

    /// Ends it as its outcome asks.
    async fn end<T>(&self, outcome: Result<T>) -> Result<T> {
        let outcome = match outcome {
            Ok(value) => self.run("COMMIT").await.map(|()| value),
            Err(error) => Err(error),
        };
        if outcome.as_ref().is_err_and(|error| !error.connection_lost) {
            self.run("ROLLBACK").await?;
        }
        outcome
    }

    /// One statement in a transaction of its own.
    async fn step(&self, lock_timeout_ms: u64, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>> {
        self.begin(lock_timeout_ms).await?;
        self.end(self.client.query(sql, parameters).await.map_err(|e| self.failed(&e))).await
    }

    /// Asks to be the one who maintains a table, until `end_maintenance` or the end of the session.
    pub async fn begin_maintenance(&self, relation: &str) -> Result<bool> {
        let sql = "SELECT pg_try_advisory_lock(($1::bigint << 32) | $2::text::regclass::oid::bigint)";
        let row =
            self.client.query_one(sql, &[&MAINTAIN_LOCK, &relation]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// Lets another maintain the table.
    pub async fn end_maintenance(&self) -> Result<()> {
        // By the table's name it would fail where the table is gone.
        self.run("SELECT pg_advisory_unlock_all()").await
    }

    /// Clears away what dropped tables have left.
    pub async fn heal_catalog(&self, lock_timeout_ms: u64) -> Result<()> {
        self.step(lock_timeout_ms, "SELECT strata._heal_catalog()", &[]).await.map(drop)
    }

    /// The event tables this role may maintain.
    pub async fn maintainable(&self) -> Result<Vec<String>> {
        let sql = "SELECT format('%I.%I', n.nspname, c.relname) \
                   FROM unnest(strata._maintainable(NULL)) AS m (relation) \
                   JOIN pg_class c ON c.oid = m.relation JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1";
        let rows = self.client.query(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The steps a table needs, in their order.
    pub async fn maintenance_steps(&self, relation: &str) -> Result<Vec<String>> {
        let sql = "SELECT strata._maintenance_steps($1::text::regclass)";
        let row = self.client.query_one(sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// Makes partitions ahead, puts missing triggers back; returns how many partitions came.
    pub async fn prepare_table(&self, relation: &str, lock_timeout_ms: u64) -> Result<i64> {
        let before = self.partitions(relation).await?;
        let sql = "SELECT strata._maintain_event_table(strata._authorize($1::text::regclass, 'INGEST'))";
        self.step(lock_timeout_ms, sql, &[&relation]).await?;
        Ok((self.partitions(relation).await? - before).max(0))
    }

    async fn partitions(&self, relation: &str) -> Result<i64> {
        let sql = "SELECT count(*) FROM pg_inherits WHERE inhparent = $1::text::regclass";
        let row = self.client.query_one(sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// Makes one expired partition unwritable; `None`: there is none left.
    pub async fn seal_expired(&self, relation: &str, lock_timeout_ms: u64) -> Result<Option<Done>> {
        self.logged("strata._seal_expired", "sealed", relation, lock_timeout_ms).await
    }

    /// Takes one step with a partition that is to leave the audit log; `None`: there is none left.
    pub async fn expire_audited(&self, relation: &str, lock_timeout_ms: u64) -> Result<Option<Done>> {
        self.logged("strata._expire_audited", "expired", relation, lock_timeout_ms).await
    }

    /// Drops one partition that retention has detached; `None`: there is none left.
    pub async fn drop_detached(&self, relation: &str, lock_timeout_ms: u64) -> Result<Option<Done>> {
        self.logged("strata._drop_detached", "dropped", relation, lock_timeout_ms).await
    }

    /// A step that says by 1 that it has done something to one partition, and in the log to which.
    async fn logged(
        &self,
        function: &str,
        action: &str,
        relation: &str,
        lock_timeout_ms: u64,
    ) -> Result<Option<Done>> {
        let sql = format!("SELECT {function}($1::text::regclass)::bigint");
        let log = "SELECT partition, bytes FROM strata.retention_log \
                   WHERE at >= now() AND relation = $1 AND action = $2 ORDER BY at DESC LIMIT 1";
        let work = async {
            let row = self.client.query_one(&sql, &[&relation]).await?;
            if row.get::<_, i64>(0) == 0 {
                return Ok(None);
            }
            let row = self.client.query_opt(log, &[&relation, &action]).await?;
            let done = |row: Row| Done { partition: row.get(0), bytes: row.get(1) };
            Ok(Some(row.map_or(Done { partition: None, bytes: None }, done)))
        };
        self.begin(lock_timeout_ms).await?;
        self.end(work.await.map_err(|e| self.failed(&e))).await
    }

    /// The rollups that must be refreshed before retention can go on.
    pub async fn rollups_in_the_way(&self, relation: &str) -> Result<Vec<String>> {
        let sql = "SELECT r::text FROM strata._rollups_in_the_way($1::text::regclass) AS r";
        let rows = self.client.query(sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Folds a rollup's pending batches in, waiting for another refresh so long at most; returns how many.
    pub async fn refresh_in_the_way(&self, rollup: &str, lock_timeout_ms: u64) -> Result<i64> {
        let sql = "SELECT strata.refresh_rollup($1::text::regclass)::bigint";
        let rows = self.step(lock_timeout_ms, sql, &[&rollup]).await?;
        Ok(rows.first().and_then(|row| row.get(0)).unwrap_or_default())
    }

    /// Moves `retained_from`; returns the new instant, `None` if it did not move.
    pub async fn freeze_expired(&self, relation: &str, lock_timeout_ms: u64) -> Result<Option<i64>> {
        let sql = "SELECT strata._freeze_expired($1::text::regclass)";
        let rows = self.step(lock_timeout_ms, sql, &[&relation]).await?;
        Ok(rows.first().and_then(|row| row.get::<_, Option<Micros>>(0)).map(|at| at.0))
    }

    /// The partitions that may be detached now, announced for it.
    pub async fn detachable(&self, relation: &str, lock_timeout_ms: u64) -> Result<Vec<Detachable>> {
        let sql = "SELECT partition, bytes, statement FROM strata._detachable($1::text::regclass)";
        let rows = self.step(lock_timeout_ms, sql, &[&relation]).await?;
        let detachable = |row: &Row| Detachable {
            partition: row.get(0),
            bytes: row.get::<_, Option<i64>>(1).unwrap_or_default(),
            statement: row.get(2),
        };
        Ok(rows.iter().map(detachable).collect())
    }

    /// Detaches with the owner's rights, under a lock of the whole table.
    pub async fn detach_partition(
        &self,
        relation: &str,
        partition: &str,
        lock_timeout_ms: u64,
    ) -> Result<()> {
        let sql = "SELECT strata._detach_partition($1::text::regclass, $2)";
        self.step(lock_timeout_ms, sql, &[&relation, &partition]).await.map(drop)
    }

    /// Takes one step of the rollups' own retention; returns 0 when done.
    pub async fn trim_rollups(&self, relation: &str, lock_timeout_ms: u64) -> Result<i64> {
        let sql = "SELECT strata._trim_rollups($1::text::regclass)::bigint";
        let rows = self.step(lock_timeout_ms, sql, &[&relation]).await?;
        Ok(rows.first().and_then(|row| row.get(0)).unwrap_or_default())
    }

    /// Takes batches nobody needs out of the ledger; returns how many, 0 when done.
    pub async fn prune_ledger(&self, relation: &str, lock_timeout_ms: u64) -> Result<i64> {
        let sql = "SELECT strata._prune_ledger($1::text::regclass)";
        let rows = self.step(lock_timeout_ms, sql, &[&relation]).await?;
        Ok(rows.first().and_then(|row| row.get(0)).unwrap_or_default())
    }

    /// Takes one step of pruning the logs of audited tables; returns 0 when done.
    pub async fn prune_audits(&self, lock_timeout_ms: u64) -> Result<i64> {
        let rows = self.step(lock_timeout_ms, "SELECT strata._prune_audits()", &[]).await?;
        Ok(rows.first().and_then(|row| row.get(0)).unwrap_or_default())
    }

    /// The partitions past retention, of one table or of all this role may maintain.
    pub async fn expired_partitions(&self, relation: Option<&str>) -> Result<Vec<Expired>> {
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), e.partition::text, e.upper, e.bytes, e.blocked_by \
                   FROM strata.expired_partitions($1::text::regclass) AS e \
                   JOIN pg_class c ON c.oid = e.relation JOIN pg_namespace n ON n.oid = c.relnamespace \
                   ORDER BY 1, e.upper";
        let rows = self.client.query(sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        let expired = |row: &Row| Expired {
            relation: row.get(0),
            partition: row.get(1),
            upper: strata_core::time::format_timestamptz(row.get::<_, Micros>(2).0),
            bytes: row.get(3),
            blocked_by: row.get(4),
        };
        Ok(rows.iter().map(expired).collect())
    }

    /// Whether a backend has waited for this long to lock a relation against everyone.
    async fn blocks_others(&self, pid: i32, longer_than_ms: u64) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted AND locktype = 'relation' \
                   AND mode = 'AccessExclusiveLock' AND clock_timestamp() - waitstart > make_interval(secs => $2))";
        let seconds = Duration::from_millis(longer_than_ms).as_secs_f64();
        let row = self.client.query_one(sql, &[&pid, &seconds]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }
}

/// Sends a `DETACH PARTITION`, CONCURRENTLY or FINALIZE, on a connection of its own. The first waits for transactions
/// without being in anybody's way, so it may take `patience`; but at its end, as FINALIZE from its beginning, it locks
/// the partition against those who read it by its own name, and that it may wait for no longer than `lock_timeout_ms`:
/// `watcher` looks. What is cut short stays pending, and FINALIZE ends it.
pub async fn detach_concurrently(
    database: &Database,
    watcher: &Session,
    statement: &str,
    lock_timeout_ms: u64,
    patience: Duration,
) -> Result<()> {
    let session = database.connect().await?;
    let finalize = statement.ends_with(" FINALIZE");
    let lock_timeout = if finalize { lock_timeout_ms } else { 0 };
    // A server process whose client was killed would otherwise go on waiting, and stay in the successor's way.
    session
        .run(&format!(
            "SET client_connection_check_interval = '1s'; SET lock_timeout = {lock_timeout}; \
             SET statement_timeout = {}",
            patience.as_millis()
        ))
        .await?;
    let row =
        session.client.query_one("SELECT pg_backend_pid()", &[]).await.map_err(|e| session.failed(&e))?;
    let pid: i32 = row.get(0);
    let cancel = session.client.cancel_token();
    let mut work = std::pin::pin!(session.run(statement));
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(Duration::from_millis(lock_timeout_ms.max(10))) => {}
        }
        if watcher.blocks_others(pid, lock_timeout_ms).await.unwrap_or(true) {
            // It may have ended by itself in the meantime.
            cancel.cancel_query(NoTls).await.map_err(|e| Error::end(format!("cannot cancel: {e}")))?;
            return work.await;
        }
    }
}

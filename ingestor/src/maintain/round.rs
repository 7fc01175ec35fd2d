//! One round of maintenance of one table: the steps the extension names, in its order, each tried again where a lock
//! was not to be had. Killed anywhere, the next round goes on from there. Never: SQL, printing.

use crate::config;
use crate::error::{Error, Kind, Result};
use crate::postgres::maintain::{Detachable, Expired, detach_concurrently};
use crate::postgres::{Database, Session};
use serde::Serialize;
use std::time::Duration;
use strata_core::time::format_timestamptz;

/// Something that was done, or could not be.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Its table.
    pub relation: String,
    /// made, sealed, refreshed, frozen, expired, detached, dropped, pruned, log pruned (in so many steps); left (a lock was not to be had), failed.
    pub action: &'static str,
    /// Partition, rollup, instant or step.
    pub on: Option<String>,
    /// How many, of what has no name.
    pub count: Option<i64>,
    /// Size of the partition.
    pub bytes: Option<i64>,
    /// Why not.
    pub detail: Option<String>,
}

/// What a round came to.
#[derive(Debug)]
pub struct Outcome {
    /// The table.
    pub relation: String,
    /// In their order.
    pub actions: Vec<Entry>,
    /// What is past retention still.
    pub expired: Vec<Expired>,
}

impl Outcome {
    /// What went wrong.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.actions.iter().filter(|a| a.action == "failed").map(|a| {
            let [on, detail] = [&a.on, &a.detail].map(|text| text.as_deref().unwrap_or_default());
            format!("{}: {on} failed: {detail}", self.relation)
        })
    }

    /// What is past retention and still there, and by what it is held.
    pub fn held(&self) -> Option<String> {
        let left = self.actions.iter().find(|a| a.action == "left");
        let relation = &self.relation;
        match (self.blocked(), left) {
            (Some((partition, why)), _) => Some(format!(
                "{relation}: {} partitions past retention stay; {partition}: {why}",
                self.expired.len()
            )),
            (None, Some(left)) => {
                let [on, detail] = [&left.on, &left.detail].map(|text| text.as_deref().unwrap_or_default());
                Some(format!("{relation}: {on} is left to the next run: {detail}"))
            }
            (None, None) => None,
        }
    }
}

impl Outcome {
    /// For the log of a process that goes on.
    pub fn log(&self) {
        let relation = &self.relation;
        for a in &self.actions {
            match a.action {
                "left" | "unrefreshed" | "failed" => {
                    tracing::warn!(relation, on = a.on, reason = a.detail, "{}", a.action);
                }
                action => tracing::info!(relation, on = a.on, count = a.count, bytes = a.bytes, "{action}"),
            }
        }
        if let Some((partition, why)) = self.blocked() {
            let partitions = self.expired.len();
            tracing::warn!(
                relation,
                partitions,
                partition,
                reason = why,
                "partitions past retention are held back"
            );
        }
    }

    fn blocked(&self) -> Option<(&str, &str)> {
        self.expired.iter().find_map(|e| Some((e.partition.as_str(), e.blocked_by.as_deref()?)))
    }
}

/// A round. Where another process is at the table already, `wait` says whether to wait for it. An error is a lost
/// connection; everything else is part of the outcome.
pub async fn maintain(
    database: &Database,
    session: &Session,
    relation: &str,
    settings: &config::Maintain,
    wait: bool,
) -> Result<Outcome> {
    let outcome = Outcome { relation: relation.to_owned(), actions: Vec::new(), expired: Vec::new() };
    let mut round = Round { database, session, relation, settings, outcome };
    let attempts = if wait { settings.lock_attempts } else { 1 };
    if !round.alone(attempts).await? {
        if wait {
            let why = "another process is at it".to_owned();
            round.note("left", Some("maintenance".to_owned()), Some(why));
        }
        return Ok(round.outcome);
    }
    if let Err(error) = round.steps().await {
        round.tell("maintenance".to_owned(), error)?;
    }
    session.end_maintenance().await?;
    Ok(round.outcome)
}

struct Round<'a> {
    database: &'a Database,
    session: &'a Session,
    relation: &'a str,
    settings: &'a config::Maintain,
    outcome: Outcome,
}

impl Round<'_> {
    async fn alone(&self, attempts: u32) -> Result<bool> {
        for attempt in 1..=attempts {
            if self.session.begin_maintenance(self.relation).await? {
                return Ok(true);
            }
            if attempt < attempts {
                self.pause().await;
            }
        }
        Ok(false)
    }

    async fn steps(&mut self) -> Result<()> {
        for step in self.session.maintenance_steps(self.relation).await? {
            let taken = match step.as_str() {
                "prepare" => self.prepare().await,
                "seal" => self.seal().await,
                "refresh" => self.refresh().await,
                "freeze" => self.freeze().await,
                "expire" => self.expire().await,
                "detach" => self.detach().await,
                "drop" => self.drop_detached().await,
                "trim" => self.trim().await,
                "prune" => self.prune().await,
                _ => Err(Error::end("this version of strata does not know the step")),
            };
            if let Err(error) = taken {
                self.tell(step, error)?;
            }
        }
        if let Err(error) = self.prune_audits().await {
            self.tell("pruning the audit log".to_owned(), error)?;
        }
        self.outcome.expired = self.session.expired_partitions(Some(self.relation)).await?;
        Ok(())
    }

    /// Notes an error that ends one step; passes on one that ends them all.
    fn tell(&mut self, step: String, error: Error) -> Result<()> {
        if error.connection_lost {
            return Err(error);
        }
        let action = if is_contention(&error) { "left" } else { "failed" };
        self.note(action, Some(step), Some(error.message));
        Ok(())
    }

    async fn prepare(&mut self) -> Result<()> {
        let (session, relation, timeout) = (self.session, self.relation, self.settings.lock_timeout_ms);
        let made = self.patiently(|| session.prepare_table(relation, timeout)).await?;
        self.counted("made", made);
        Ok(())
    }

    async fn seal(&mut self) -> Result<()> {
        let (session, relation, timeout) = (self.session, self.relation, self.settings.lock_timeout_ms);
        while let Some(done) = self.patiently(|| session.seal_expired(relation, timeout)).await? {
            self.sized("sealed", done.partition, done.bytes);
        }
        Ok(())
    }

    /// A rollup that cannot be refreshed holds retention back, which is said as such; it holds up nothing else.
    async fn refresh(&mut self) -> Result<()> {
        let (session, timeout) = (self.session, self.settings.lock_timeout_ms);
        for rollup in session.rollups_in_the_way(self.relation).await? {
            match self.patiently(|| session.refresh_in_the_way(&rollup, timeout)).await {
                Ok(0) => {}
                Ok(batches) => {
                    let detail = Some(format!("{batches} batches"));
                    self.note("refreshed", Some(rollup), detail);
                }
                Err(error) if error.connection_lost => return Err(error),
                Err(error) => self.note("unrefreshed", Some(rollup), Some(error.message)),
            }
        }
        Ok(())
    }

    async fn freeze(&mut self) -> Result<()> {
        let (session, relation, timeout) = (self.session, self.relation, self.settings.lock_timeout_ms);
        if let Some(to) = self.patiently(|| session.freeze_expired(relation, timeout)).await? {
            self.note("frozen", Some(format!("to {}", format_timestamptz(to))), None);
        }
        Ok(())
    }

    /// Each in two steps, of which only the second says to which.
    async fn expire(&mut self) -> Result<()> {
        let (session, relation, timeout) = (self.session, self.relation, self.settings.lock_timeout_ms);
        while let Some(done) = self.patiently(|| session.expire_audited(relation, timeout)).await? {
            if done.partition.is_some() {
                self.sized("expired", done.partition, done.bytes);
            }
        }
        Ok(())
    }

    /// Oldest first. One whose detach was cut short stands first in the next list, with the statement that ends it.
    async fn detach(&mut self) -> Result<()> {
        let (session, relation, timeout) = (self.session, self.relation, self.settings.lock_timeout_ms);
        loop {
            let list = self.patiently(|| session.detachable(relation, timeout)).await?;
            let Some(failed) = self.detach_all(list).await? else { return Ok(()) };
            let (partition, error) = failed;
            let again = self.patiently(|| session.detachable(relation, timeout)).await?;
            let Some(now) = again.iter().find(|d| d.partition == partition.partition) else {
                // Somebody else has detached it.
                continue;
            };
            if now.statement == partition.statement {
                return Err(error.while_doing(partition.partition));
            }
            // Halfway: it is ended now if nobody is in the way, or by a later round.
            let ended = self.detach_all(vec![now.clone()]).await?;
            if let Some((_, error)) = ended {
                return Err(error.while_doing(partition.partition));
            }
        }
    }

    /// Detaches until one fails.
    async fn detach_all(&mut self, list: Vec<Detachable>) -> Result<Option<(Detachable, Error)>> {
        for one in list {
            match self.detach_one(&one).await {
                Ok(()) => self.sized("detached", Some(one.partition), Some(one.bytes)),
                Err(error) if self.session.is_closed() => return Err(error),
                Err(error) => return Ok(Some((one, Error { connection_lost: false, ..error }))),
            }
        }
        Ok(None)
    }

    async fn detach_one(&self, one: &Detachable) -> Result<()> {
        let (session, timeout) = (self.session, self.settings.lock_timeout_ms);
        let patience = Duration::from_millis(self.settings.detach_timeout_ms);
        match &one.statement {
            None => self.patiently(|| session.detach_partition(self.relation, &one.partition, timeout)).await,
            // Waiting is its own business: tried once.
            Some(statement) if statement.ends_with(" CONCURRENTLY") => {
                detach_concurrently(self.database, session, statement, timeout, patience).await
            }
            Some(statement) => {
                self.patiently(|| detach_concurrently(self.database, session, statement, timeout, patience))
                    .await
            }
        }
    }

    async fn drop_detached(&mut self) -> Result<()> {
        let (session, relation, timeout) = (self.session, self.relation, self.settings.lock_timeout_ms);
        while let Some(done) = self.patiently(|| session.drop_detached(relation, timeout)).await? {
            self.sized("dropped", done.partition, done.bytes);
        }
        Ok(())
    }

    async fn trim(&mut self) -> Result<()> {
        let (session, relation, timeout) = (self.session, self.relation, self.settings.lock_timeout_ms);
        let mut steps = 0;
        while self.patiently(|| session.trim_rollups(relation, timeout)).await? > 0 {
            steps += 1;
        }
        self.counted("trimmed", steps);
        Ok(())
    }

    async fn prune(&mut self) -> Result<()> {
        let (session, relation, timeout) = (self.session, self.relation, self.settings.lock_timeout_ms);
        let mut pruned = 0;
        loop {
            match self.patiently(|| session.prune_ledger(relation, timeout)).await {
                Ok(0) => break,
                Ok(batches) => pruned += batches,
                Err(error) => {
                    self.counted("pruned", pruned);
                    return Err(error);
                }
            }
        }
        self.counted("pruned", pruned);
        Ok(())
    }

    /// Of all tables: most that are audited are no event tables, and who comes second passes by.
    async fn prune_audits(&mut self) -> Result<()> {
        let (session, timeout) = (self.session, self.settings.lock_timeout_ms);
        let mut steps = 0;
        while self.patiently(|| session.prune_audits(timeout)).await? > 0 {
            steps += 1;
        }
        self.counted("log pruned", steps);
        Ok(())
    }

    /// Tries until a lock is to be had, or it was tried often enough.
    async fn patiently<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempts = 1;
        loop {
            match attempt().await {
                Err(error) if is_contention(&error) && attempts < self.settings.lock_attempts => {
                    tracing::debug!(relation = self.relation, error = %error, attempts, "trying again");
                    self.pause().await;
                    attempts += 1;
                }
                other => return other,
            }
        }
    }

    /// Longer than an attempt, so that those who queued behind it get through; jittered, so that two do not keep step.
    async fn pause(&self) {
        let least = self.settings.lock_timeout_ms.max(10);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(least..=4 * least))).await;
    }

    fn note(&mut self, action: &'static str, on: Option<String>, detail: Option<String>) {
        let relation = self.relation.to_owned();
        self.outcome.actions.push(Entry { relation, action, on, count: None, bytes: None, detail });
    }

    fn sized(&mut self, action: &'static str, on: Option<String>, bytes: Option<i64>) {
        let relation = self.relation.to_owned();
        self.outcome.actions.push(Entry { relation, action, on, count: None, bytes, detail: None });
    }

    fn counted(&mut self, action: &'static str, count: i64) {
        if count > 0 {
            let relation = self.relation.to_owned();
            let count = Some(count);
            self.outcome.actions.push(Entry { relation, action, on: None, count, bytes: None, detail: None });
        }
    }
}

/// A lock not had in time, a deadlock, a statement cut short: what another attempt, or a later round, gets past.
fn is_contention(error: &Error) -> bool {
    error.kind == Kind::Retry
        && !error.connection_lost
        && matches!(error.code.as_deref(), Some("55P03" | "40P01" | "40001" | "57014"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contention_is_what_passes() {
        let error = |code: &str| Error {
            code: Some(code.to_owned()),
            ..Error::new(crate::error::kind_of_sqlstate(code), "")
        };
        for code in ["55P03", "40P01", "57014"] {
            assert!(is_contention(&error(code)), "{code}");
        }
        for code in ["42501", "57P01", "53100", "55000"] {
            assert!(!is_contention(&error(code)), "{code}");
        }
        assert!(!is_contention(&Error { connection_lost: true, ..error("55P03") }));
    }
}

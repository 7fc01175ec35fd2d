//! The counters as Prometheus reads them. Never: counting.

use super::{Metrics, Queue, Readiness, ShardGauge, lock};
use crate::clock::EPOCH_2000;
use crate::exposition::Exposition;
use crate::process::Process;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl Metrics {
    /// All of it in Prometheus' text format.
    pub fn expose(&self) -> String {
        let mut text = Exposition::default();
        let version = (vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0);
        text.gauges("strata_build_info", "The version that runs.", &["version"], vec![version]);
        let ready = u8::from(self.readiness() == Readiness::Ready);
        text.single("strata_ready", "gauge", "What /readyz answers: 1 is ready.", ready);
        let answers = u8::from(self.database.load(Relaxed));
        text.single("strata_postgres_up", "gauge", "Whether the database answered the last probe.", answers);
        let stream = ["relation", "stream"];
        text.counters("strata_records_total", "Records read.", &stream, &self.records_by);
        text.counters("strata_record_bytes_total", "Bytes of the records read.", &stream, &self.bytes_by);
        let skipped = "Events passed over: they concern another table, or no row.";
        text.counters("strata_skipped_events_total", skipped, &stream, &self.skipped_by);
        let repeated =
            "Rows left out: events that are there already, changes that a later one made unnecessary.";
        text.counters("strata_repeated_events_total", repeated, &["relation"], &self.repeated_by);
        text.counters("strata_rows_total", "Rows committed.", &["relation"], &self.rows_by);
        let outcome = ["relation", "outcome"];
        text.counters("strata_batches_total", "Attempts to write a batch.", &outcome, &self.outcomes);
        let reason = ["relation", "sqlstate"];
        text.counters("strata_dead_letters_total", "Dead letters committed.", &reason, &self.dead_by);
        text.counters(
            "strata_retries_total",
            "Attempts that failed and are repeated.",
            &["kind"],
            &self.retries_by,
        );
        text.counters("strata_lease_changes_total", "Leases claimed and lost.", &["change"], &self.leases);
        let refreshed = self.refreshed.load(Relaxed);
        text.single("strata_refreshed_batches_total", "counter", "Batches folded into rollups.", refreshed);
        text.durations("strata_copy_seconds", "Time the COPY of a batch took.", "relation", &self.copy);
        text.durations("strata_commit_seconds", "Time the COMMIT of a batch took.", "relation", &self.commit);
        let stopped = lock(&self.stopped).clone();
        text.single("strata_tables_stopped", "gauge", "Tables stopped by an error.", stopped.len());
        let next = stopped.into_iter().filter_map(|(table, next)| Some((vec![table], unix_seconds(next?))));
        let help = "When a stopped table is tried again, in seconds since 1970.";
        text.gauges("strata_table_next_try_timestamp_seconds", help, &["relation"], next.collect());
        self.expose_gauges(&mut text);
        if let Some((leaves, at)) = *lock(&self.digest) {
            let help = "Leaves of the last digest of the audit log that was published.";
            text.single("strata_audit_leaves", "gauge", help, leaves);
            let help = "When it was published, in seconds since 1970.";
            text.single("strata_audit_digest_timestamp_seconds", "gauge", help, unix_seconds(at));
        }
        text.counters(
            "strata_audit_seal_failures_total",
            "Attempts to seal the audit log that failed: refused (it did not grow from the last digest), database, publishing.",
            &["reason"],
            &self.seal_failures,
        );
        if let Some(process) = Process::now() {
            let cpu = "Processor time taken, user and system.";
            text.single("process_cpu_seconds_total", "counter", cpu, process.cpu_seconds);
            let memory = "Memory that is in RAM.";
            text.single("process_resident_memory_bytes", "gauge", memory, process.resident_bytes);
        }
        text.into_text()
    }

    fn expose_gauges(&self, text: &mut Exposition) {
        let queues = lock(&self.queues);
        let fill = |queue: &Queue| Some((vec![queue.table.clone(), queue.name.to_owned()], (queue.fill)()?));
        // Of the same queue of several writers the fullest counts.
        let mut fullest: BTreeMap<Vec<String>, f64> = BTreeMap::new();
        for (labels, fill) in queues.iter().filter_map(fill) {
            fullest.entry(labels).and_modify(|most| *most = most.max(fill)).or_insert(fill);
        }
        let fills = fullest.into_iter().collect();
        let help =
            "How full a queue is, from 0 to 1; a full one means that what comes after it is the bottleneck.";
        text.gauges("strata_queue_fill_ratio", help, &["relation", "queue"], fills);
        let shards = lock(&self.shards);
        let labels = ["relation", "stream", "shard"];
        let of_each = |value: fn(&ShardGauge) -> Duration| {
            let mut values: Vec<_> = shards
                .iter()
                .map(|((table, stream, shard), gauge)| {
                    (vec![table.clone(), stream.clone(), shard.clone()], value(gauge).as_secs_f64())
                })
                .collect();
            values.sort_by(|a, b| a.0.cmp(&b.0));
            values
        };
        let lag = "How far behind the tip of its shard the last read was.";
        text.gauges("strata_shard_lag_seconds", lag, &labels, of_each(|gauge| gauge.behind));
        let age = "Time since a shard was last read; one that grows is not being read.";
        text.gauges("strata_shard_read_age_seconds", age, &labels, of_each(|gauge| gauge.seen.elapsed()));
        text.single("strata_shards", "gauge", "Shards being read.", shards.len());
    }
}

/// Of microseconds since 2000-01-01 UTC.
#[allow(clippy::cast_precision_loss)]
fn unix_seconds(us: i64) -> f64 {
    us as f64 / 1e6 + EPOCH_2000 as f64
}

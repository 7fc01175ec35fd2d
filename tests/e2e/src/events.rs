//! A clickstream from a seed: users of skewed activity, and times within the last days.

use fastrand::Rng;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The table all tests feed, its rollup, and how it is made ours.
pub const TABLE: &str = "
    CREATE TABLE clicks (
        event_id bigint NOT NULL,
        ts timestamptz NOT NULL,
        user_id int NOT NULL,
        kind text NOT NULL,
        item varchar(40),
        amount numeric(12, 2),
        device jsonb
    );
    SELECT strata.create_event_table('clicks', 'ts');
    SELECT strata.create_rollup(
        'clicks_by_user_day', source => 'clicks', bucket => '1 day', group_by => ARRAY['user_id'],
        aggregates => ARRAY[
            'count(*) AS events',
            $$count(*) FILTER (WHERE kind = 'click') AS clicks$$,
            'sum(amount) AS spend',
            'avg(amount) AS average',
            'min(ts) AS first_seen',
            'max(ts) AS last_seen'
        ]
    );";

/// One event, and the record that carries it.
#[derive(Debug, Clone)]
pub struct Event {
    /// What identifies it.
    pub id: i64,
    /// Its partition key.
    pub key: String,
    /// The record.
    pub record: Vec<u8>,
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// One event of a clickstream.
#[must_use]
pub fn event(id: i64, rng: &mut Rng) -> Event {
    // The product of uniforms is skewed: a few users do most.
    let user = rng.u64(1..=500) * rng.u64(1..=500) * rng.u64(1..=500) / 250_000;
    let kind = ["view", "view", "view", "click", "click", "add_to_cart", "purchase"][rng.usize(..7)];
    let os = ["ios", "android", "web"][rng.usize(..3)];
    let age_ms = if rng.u8(..100) < 3 { rng.i64(0..3 * 86_400_000) } else { rng.i64(0..60_000) };
    let mut body = json!({
        "event_id": id,
        "ts": now_ms() - age_ms,
        "user_id": user,
        "kind": kind,
        "item": format!("item-{}", rng.u32(..2000)),
        "device": { "os": os, "v": rng.u8(..20) },
    });
    if kind == "purchase" {
        body["amount"] = Value::from(f64::from(rng.u32(100..50_000)) / 100.0);
    }
    Event { id, key: format!("user-{user}"), record: body.to_string().into_bytes() }
}

/// Events with the ids of a range.
#[must_use]
pub fn events(ids: std::ops::Range<i64>, rng: &mut Rng) -> Vec<Event> {
    ids.map(|id| event(id, rng)).collect()
}

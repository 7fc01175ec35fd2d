//! A realistic clickstream: few users do most, in sessions; most events are views, few are purchases; some come
//! late, some are malformed. The same seed makes the same events, but for their times. Never: I/O.

use crate::cli::Produce;
use crate::error::{Error, Result};
use fastrand::Rng;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use strata_core::time::{EpochUnit, format_timestamptz, from_epoch};

/// One record to put.
#[derive(Debug, Clone)]
pub struct Event {
    /// The user.
    pub partition_key: String,
    /// JSON, or what should have been.
    pub data: Vec<u8>,
    /// Its id, unless it is malformed.
    pub id: Option<String>,
    /// Its time lies well before the present.
    pub late: bool,
}

/// Makes events.
pub struct Clickstream {
    rng: Rng,
    users: u64,
    items: u64,
    late_share: f64,
    malformed_share: f64,
    record_bytes: usize,
    /// Microseconds that event times are spread over.
    span_us: i64,
    planned: u64,
    made: u64,
    /// Session of each user.
    sessions: Vec<u16>,
    salt: u64,
}

/// A user stays in a session for so many events on average.
const SESSION_EVENTS: u8 = 12;
/// The longest delay of a late event.
const LATE_US_MAX: i64 = 6 * 3_600_000_000;

impl Clickstream {
    /// By the options of `produce`.
    pub fn new(options: &Produce) -> Result<Self> {
        for (name, share) in
            [("--late-share", options.late_share), ("--malformed-share", options.malformed_share)]
        {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::usage(format!("{name} must lie between 0 and 1")));
            }
        }
        if options.users == 0 || options.items == 0 || !(0.0..=87_600.0).contains(&options.span_hours) {
            return Err(Error::usage(
                "--users and --items must be above 0, --span-hours between 0 and 87600",
            ));
        }
        let mut rng = options.seed.map_or_else(Rng::new, Rng::with_seed);
        #[allow(clippy::cast_possible_truncation)]
        let span_us = (options.span_hours * 3.6e9) as i64;
        Ok(Self {
            salt: rng.u64(..),
            users: options.users,
            items: options.items,
            late_share: options.late_share,
            malformed_share: options.malformed_share,
            record_bytes: options.record_bytes,
            span_us,
            planned: options.count.max(1),
            made: 0,
            sessions: vec![0; usize::try_from(options.users.min(1 << 20)).unwrap_or(1)],
            rng,
        })
    }

    /// The next event.
    pub fn next(&mut self) -> Event {
        let user = self.skewed(self.users);
        let slot = usize::try_from(user).unwrap_or_default() % self.sessions.len();
        if self.rng.u8(..SESSION_EVENTS) == 0 {
            self.sessions[slot] = self.sessions[slot].wrapping_add(1);
        }
        let session = Rng::with_seed(self.salt ^ (user << 16) ^ u64::from(self.sessions[slot])).u128(..);
        let late = self.rng.f64() < self.late_share;
        let time = self.time(late);
        self.made += 1;
        let id = uuid(self.rng.u128(..));
        let (kind, amount) = match self.rng.u16(..1000) {
            0..800 => ("view", String::new()),
            800..940 => ("click", String::new()),
            940..985 => ("add_to_cart", String::new()),
            _ => ("purchase", format!("{}.{:02}", self.rng.u32(1..400), self.rng.u8(..100))),
        };
        let broken = (self.rng.f64() < self.malformed_share).then(|| self.rng.u8(..8));
        let data = self.record(&id, &time, user, &uuid(session), kind, &amount, broken);
        Event {
            partition_key: user.to_string(),
            data,
            id: broken.is_none().then_some(id),
            late: late && broken.is_none(),
        }
    }

    /// Log-uniform, so that the number of events falls off as one over the rank.
    fn skewed(&mut self, n: u64) -> u64 {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = (n as f64 + 1.0).powf(self.rng.f64()) as u64;
        rank.clamp(1, n)
    }

    fn time(&mut self, late: bool) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut us = i64::try_from(now.as_micros()).unwrap_or_default();
        if self.span_us > 0 {
            let left = i128::from(self.planned.saturating_sub(self.made)) * i128::from(self.span_us);
            us -= i64::try_from(left / i128::from(self.planned)).unwrap_or_default();
        }
        if late {
            us -= self.rng.i64(60_000_000..LATE_US_MAX);
        }
        // Millisecond precision, as browsers have it.
        format_timestamptz(from_epoch(us / 1000, EpochUnit::Millis).unwrap_or_default())
    }

    #[allow(clippy::too_many_arguments)]
    fn record(
        &mut self,
        id: &str,
        time: &str,
        user: u64,
        session: &str,
        kind: &str,
        amount: &str,
        broken: Option<u8>,
    ) -> Vec<u8> {
        let item = self.skewed(self.items);
        let device = ["mobile", "mobile", "mobile", "desktop", "desktop", "tablet"][self.rng.usize(..6)];
        let pages = ["home", "search", "category", "item", "cart", "mail"];
        let (page, position) = (pages[self.rng.usize(..6)], self.rng.u8(1..=40));
        let variant = self.rng.u8(..4);
        let user = if broken == Some(2) { "99999999999999999999".to_owned() } else { user.to_string() };
        let time = if broken == Some(3) { "9999-12-31T23:59:59Z" } else { time };
        let id = if broken == Some(4) { "not-a-uuid" } else { id };
        let amount = if broken == Some(6) { "123456789012.34" } else { amount };
        let mut text = String::with_capacity(400.max(self.record_bytes + 16));
        // Writing into a string cannot fail.
        let _ =
            write!(text, r#"{{"event_id":"{id}","ts":"{time}","user_id":{user},"session_id":"{session}","#);
        let _ = write!(text, r#""item_id":{item},"device":"{device}","#);
        if broken != Some(1) {
            let _ = write!(text, r#""kind":"{kind}","#);
        }
        if !amount.is_empty() {
            let _ = write!(text, r#""amount":{amount},"#);
        }
        let _ =
            write!(text, r#""properties":{{"page":"{page}","position":{position},"variant":"v{variant}""#);
        if broken == Some(5) {
            text.push_str(r#","note":"a\u0000b""#);
        }
        let fill = self.record_bytes.saturating_sub(text.len() + 12);
        if fill > 0 {
            text.push_str(r#","trail":""#);
            for _ in 0..fill {
                text.push(char::from(self.rng.u8(b'a'..=b'z')));
            }
            text.push('"');
        }
        text.push_str("}}");
        let mut data = text.into_bytes();
        match broken {
            Some(0) => data.truncate(data.len() / 2),
            Some(7) => data.extend_from_slice(b"\xff\xfe"),
            _ => {}
        }
        data
    }
}

fn uuid(random: u128) -> String {
    let versioned = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{versioned:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;
    use std::collections::{HashMap, HashSet};

    fn clickstream(options: &[&str]) -> Clickstream {
        let arguments = ["strata", "produce"].into_iter().chain(options.iter().copied());
        let cli = crate::cli::Cli::try_parse_from(arguments).unwrap();
        let crate::cli::Command::Produce(options) = cli.command else { unreachable!() };
        Clickstream::new(&options).unwrap()
    }

    #[test]
    fn well_formed_events_are_json_with_their_id() {
        let mut stream = clickstream(&["--seed", "1", "--record-bytes", "500"]);
        let mut users = HashMap::new();
        let mut ids = HashSet::new();
        for _ in 0..2_000 {
            let event = stream.next();
            let json: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
            assert_eq!(json["event_id"], event.id.as_deref().unwrap());
            assert_eq!(json["user_id"].to_string(), event.partition_key);
            assert_eq!(json["kind"] == "purchase", json["amount"].is_number());
            assert!((480..=520).contains(&event.data.len()), "{}", event.data.len());
            *users.entry(event.partition_key).or_insert(0) += 1;
            ids.insert(event.id);
        }
        assert_eq!(ids.len(), 2_000);
        assert!(users["1"] > 50, "activity is skewed");
        assert!(users.len() > 300, "and has a long tail");
    }

    #[test]
    fn seeds_repeat_and_malformed_records_have_no_id() {
        let ids = || {
            let mut stream = clickstream(&["--seed", "7", "--malformed-share", "0.5", "--late-share", "0"]);
            (0..200).map(|_| stream.next().id).collect::<Vec<_>>()
        };
        assert_eq!(ids(), ids());
        let malformed = ids().iter().filter(|id| id.is_none()).count();
        assert!((60..140).contains(&malformed), "{malformed}");
    }
}

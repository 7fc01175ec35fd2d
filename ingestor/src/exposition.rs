//! Prometheus' text format, and the families of counters and histograms that need labels. Never: what is counted.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// A counter for every combination of label values. Whoever counts sees to it that these are few.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<Vec<String>, u64>>);

impl Counters {
    /// Counts.
    pub fn add(&self, labels: &[&str], n: usize) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        *lock(&self.0).entry(labels).or_default() += n as u64;
    }

    /// Counts under a label that others choose: when there are `max` of them, all further ones are one.
    pub fn add_bounded(&self, first: &str, second: &str, max: usize, n: usize) {
        let mut counters = lock(&self.0);
        let key = vec![first.to_owned(), second.to_owned()];
        let of_first = || counters.keys().filter(|labels| labels[0] == first).count();
        let known = counters.contains_key(&key) || of_first() < max;
        let key = if known { key } else { vec![first.to_owned(), "other".to_owned()] };
        *counters.entry(key).or_default() += n as u64;
    }
}

/// Durations, by one label.
#[derive(Debug, Default)]
pub struct Durations(Mutex<BTreeMap<String, Histogram>>);

#[derive(Debug, Default)]
struct Histogram {
    /// Observations in each bucket, those above the last bound in `count` alone.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Durations {
    /// Takes one in.
    pub fn observe(&self, label: &str, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let mut histograms = lock(&self.0);
        let histogram = histograms.entry(label.to_owned()).or_default();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            histogram.buckets[bucket] += 1;
        }
        histogram.count += 1;
        histogram.sum += seconds;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text of one scrape.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a metric.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{escaped}\"", if i == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A metric of one value.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }

    /// A gauge whose label values are given with each value.
    pub fn gauges(&mut self, name: &str, help: &str, labels: &[&str], values: Vec<(Vec<String>, f64)>) {
        self.head(name, "gauge", help);
        for (texts, value) in values {
            let pairs: Vec<(&str, &str)> =
                labels.iter().copied().zip(texts.iter().map(String::as_str)).collect();
            self.sample(name, &pairs, value);
        }
    }

    /// A family of counters.
    pub fn counters(&mut self, name: &str, help: &str, labels: &[&str], counters: &Counters) {
        self.head(name, "counter", help);
        for (texts, value) in lock(&counters.0).iter() {
            let pairs: Vec<(&str, &str)> =
                labels.iter().copied().zip(texts.iter().map(String::as_str)).collect();
            self.sample(name, &pairs, value);
        }
    }

    /// A family of histograms.
    pub fn durations(&mut self, name: &str, help: &str, label: &str, durations: &Durations) {
        self.head(name, "histogram", help);
        for (text, histogram) in lock(&durations.0).iter() {
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
                below += count;
                self.sample(&format!("{name}_bucket"), &[(label, text), ("le", &bound.to_string())], below);
            }
            self.sample(&format!("{name}_bucket"), &[(label, text), ("le", "+Inf")], histogram.count);
            self.sample(&format!("{name}_sum"), &[(label, text)], histogram.sum);
            self.sample(&format!("{name}_count"), &[(label, text)], histogram.count);
        }
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_prometheus() {
        let counters = Counters::default();
        counters.add(&["a\"b\\c\nd", "x"], 2);
        counters.add(&["a\"b\\c\nd", "x"], 3);
        let durations = Durations::default();
        durations.observe("t", Duration::from_millis(5));
        durations.observe("t", Duration::from_millis(70));
        durations.observe("t", Duration::from_mins(2));
        let mut text = Exposition::default();
        text.single("up", "gauge", "Up.", 1);
        text.counters("c_total", "C.", &["one", "two"], &counters);
        text.durations("d_seconds", "D.", "table", &durations);
        let text = text.into_text();
        assert!(text.starts_with("# HELP up Up.\n# TYPE up gauge\nup 1\n# HELP c_total C.\n"), "{text}");
        assert!(text.contains("c_total{one=\"a\\\"b\\\\c\\nd\",two=\"x\"} 5\n"), "{text}");
        for line in [
            "d_seconds_bucket{table=\"t\",le=\"0.001\"} 0",
            "d_seconds_bucket{table=\"t\",le=\"0.005\"} 1",
            "d_seconds_bucket{table=\"t\",le=\"0.05\"} 1",
            "d_seconds_bucket{table=\"t\",le=\"60\"} 2",
            "d_seconds_bucket{table=\"t\",le=\"+Inf\"} 3",
            "d_seconds_sum{table=\"t\"} 120.075",
            "d_seconds_count{table=\"t\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in {text}");
        }
    }

    #[test]
    fn label_values_are_bounded() {
        let counters = Counters::default();
        for i in 0..100 {
            counters.add_bounded("t", &format!("{i:05}"), 10, 1);
        }
        counters.add_bounded("u", "99999", 10, 1);
        let all = lock(&counters.0);
        assert_eq!(all.len(), 12);
        assert_eq!(all[&vec!["t".to_owned(), "other".to_owned()]], 90);
        assert_eq!(all.values().sum::<u64>(), 101);
    }
}

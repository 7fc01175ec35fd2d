//! Numbers as a person reads them. Pure.

/// Milliseconds for a person.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// A size as a person reads it.
pub fn bytes(count: i64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let exact = u64::try_from(count).unwrap_or_default();
    let mut unit = None;
    let mut whole = exact;
    for next in units {
        if whole < 10_240 {
            break;
        }
        whole /= 1_024;
        unit = Some(next);
    }
    format!("{whole} {}", unit.unwrap_or("bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let cases = [(-1, "0 bytes"), (10_239, "10239 bytes"), (10_240, "10 kB"), (5_i64 << 40, "5120 GB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(5), "5 ms");
        assert_eq!(duration(1_234), "1.2 s");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(duration(90_000_000), "1 d 1 h");
    }
}

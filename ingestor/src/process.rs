//! What the system says of this process. Never: anything it would have to be asked twice.

/// Ticks of a second in /proc: 100 on every Linux that a userland sees.
const TICKS: f64 = 100.0;

/// Processor time and memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// User and system time.
    pub cpu_seconds: f64,
    /// What is in RAM.
    pub resident_bytes: u64,
}

impl Process {
    /// As they are now; nothing where the system has no /proc.
    pub fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        Self::read(&stat, &status)
    }

    fn read(stat: &str, status: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything; the fields after it are counted from 3.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
        let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = resident.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(Self {
            cpu_seconds: (f64::from(user) + f64::from(system)) / TICKS,
            resident_bytes: kilobytes * 1024,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_system_is_understood() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        let process = Process::read(stat, "Name:\tx\nVmRSS:\t  12 kB\n").unwrap();
        assert_eq!(process, Process { cpu_seconds: 3.0, resident_bytes: 12_288 });
        assert!(Process::now().is_some_and(|now| now.resident_bytes > 0));
        assert_eq!(Process::read("", ""), None);
    }
}

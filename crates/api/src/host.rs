//! What the machine says of itself, for `sys/host-info`: read from `/proc`, in the field names of Vault, which come from
//! the Go library gopsutil. Elsewhere than on Linux most of it is missing, and the answer warns of that.

use serde_json::{Map, Value, json};
use std::fs;

/// What could be read, and what could not.
pub(crate) struct HostInfo {
    /// The parts, by Vault's names.
    pub(crate) parts: Map<String, Value>,
    /// What is missing.
    pub(crate) missing: Vec<String>,
}

impl HostInfo {
    /// Reads it now. Blocks for the time of a few small files that are not on a disk.
    pub(crate) fn read() -> Self {
        let mut info = Self { parts: Map::new(), missing: Vec::new() };
        info.take("cpu", cpu());
        info.take("cpu_times", cpu_times());
        info.take("host", host());
        info.take("memory", memory());
        info.missing.push("disk: this version does not look at disks".to_owned());
        info
    }

    /// The name of the machine; empty when the system does not tell.
    pub(crate) fn name() -> String {
        line("/proc/sys/kernel/hostname").unwrap_or_default()
    }

    fn take(&mut self, name: &str, part: Option<Value>) {
        match part {
            Some(part) => drop(self.parts.insert(name.to_owned(), part)),
            None => self.missing.push(format!("{name}: the system does not tell")),
        }
    }
}

/// What this process takes, under the names of Vault, and under those that clients of Prometheus in every language have
/// in common; what the system does not tell is left out. Inside a runtime of tokio also how many tasks live in it, which are
/// to it what goroutines are to Go's.
pub(crate) fn process() -> Vec<(&'static str, f64)> {
    let status = read("/proc/self/status").unwrap_or_default();
    let bytes = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(found.split_whitespace().next()?.parse::<f64>().ok()? * 1_024.0)
    };
    let limits = read("/proc/self/limits").unwrap_or_default();
    let most_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let (cpu, started) = times().unzip();
    let tasks = tokio::runtime::Handle::try_current().ok().map(|runtime| runtime.metrics().num_alive_tasks() as f64);
    let all = [
        ("vault.runtime.sys_bytes", bytes("VmRSS")),
        // The part that is in no file: heap and stacks.
        ("vault.runtime.alloc_bytes", bytes("RssAnon")),
        ("vault.runtime.num_goroutines", tasks),
        ("process.resident_memory_bytes", bytes("VmRSS")),
        ("process.virtual_memory_bytes", bytes("VmSize")),
        ("process.cpu_seconds_total", cpu),
        ("process.start_time_seconds", started),
        ("process.open_fds", fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64)),
        ("process.max_fds", most_files.and_then(|limit| limit.split_whitespace().next()?.parse().ok())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Seconds of processor time that this process has used, and when it began, in seconds since 1970. The kernel counts
/// hundredths (proc(5), `USER_HZ`), and the beginning from its own start.
fn times() -> Option<(f64, f64)> {
    let stat = read("/proc/self/stat")?;
    // The name stands in brackets and may hold anything; what follows begins with the third field.
    let (_, rest) = stat.rsplit_once(')')?;
    let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
    let system = read("/proc/stat")?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok())?;
    Some(((field(14)? + field(15)?) / 100.0, boot + field(22)? / 100.0))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn line(path: &str) -> Option<String> {
    read(path).map(|text| text.trim().to_owned())
}

fn cpu() -> Option<Value> {
    let text = read("/proc/cpuinfo")?;
    let one = |(number, block): (usize, &str)| {
        let field = |name: &str| {
            let found = block.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name);
            found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        json!({
            "cpu": number, "vendorId": field("vendor_id"), "family": field("cpu family"), "model": field("model"),
            "modelName": field("model name"), "stepping": field("stepping").parse::<i64>().unwrap_or(0),
            "mhz": field("cpu MHz").parse::<f64>().unwrap_or(0.0), "cores": 1, "microcode": field("microcode"),
            "physicalId": field("physical id"), "coreId": field("core id"),
        })
    };
    Some(text.split("\n\n").filter(|block| block.contains("processor")).enumerate().map(one).collect())
}

/// Seconds in each state; the kernel counts hundredths (proc(5), `USER_HZ`).
fn cpu_times() -> Option<Value> {
    const NAMES: [&str; 10] =
        ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guestNice"];
    let text = read("/proc/stat")?;
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.len() > 3 && name.starts_with("cpu"))?;
        let times = NAMES
            .iter()
            .zip(words)
            .map(|(name, ticks)| ((*name).to_owned(), json!(ticks.parse::<f64>().unwrap_or(0.0) / 100.0)));
        let mut shown: Map<String, Value> = times.collect();
        shown.insert("cpu".to_owned(), json!(name));
        Some(Value::Object(shown))
    };
    Some(text.lines().filter_map(one).collect())
}

fn host() -> Option<Value> {
    let hostname = line("/proc/sys/kernel/hostname")?;
    let uptime = read("/proc/uptime").and_then(|text| text.split('.').next()?.parse::<u64>().ok()).unwrap_or(0);
    let stat = read("/proc/stat").unwrap_or_default();
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<u64>().ok()).unwrap_or(0);
    let release = read("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let found = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let procs = fs::read_dir("/proc").map(|entries| {
        let numbered = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        entries.flatten().filter(|entry| numbered(&entry.file_name())).count()
    });
    Some(json!({
        "hostname": hostname, "uptime": uptime, "bootTime": boot, "procs": procs.unwrap_or(0),
        "os": std::env::consts::OS, "platform": field("ID"), "platformFamily": field("ID_LIKE"),
        "platformVersion": field("VERSION_ID"), "kernelVersion": line("/proc/sys/kernel/osrelease").unwrap_or_default(),
        "kernelArch": std::env::consts::ARCH,
    }))
}

fn memory() -> Option<Value> {
    let text = read("/proc/meminfo")?;
    let bytes = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1_024
    };
    let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
    let used = total.saturating_sub(available);
    let percent = if total == 0 { 0.0 } else { used as f64 * 100.0 / total as f64 };
    Some(json!({
        "total": total, "available": available, "used": used, "usedPercent": percent, "free": bytes("MemFree"),
        "buffers": bytes("Buffers"), "cached": bytes("Cached"), "active": bytes("Active"),
        "inactive": bytes("Inactive"), "swaptotal": bytes("SwapTotal"), "swapfree": bytes("SwapFree"),
    }))
}

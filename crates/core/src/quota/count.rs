use super::RateLimit;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use strongroom_model::Timestamp;

/// Clients that are counted one by one. When there are more, those that are new count as one.
const MOST_CLIENTS: usize = 65_536;

/// What a rule says about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The rule.
    pub rule: String,
    /// Whether the request may go on.
    pub allowed: bool,
    /// Requests in an interval.
    pub limit: u64,
    /// What is left of them.
    pub remaining: u64,
    /// When the next interval begins.
    pub reset: Duration,
    /// When to try again; zero when the request may go on.
    pub retry_after: Duration,
}

/// What clients have used of their rules.
#[derive(Default)]
pub(super) struct Counts(Mutex<HashMap<String, HashMap<IpAddr, Window>>>);

/// An interval of one client, counted from its first request.
struct Window {
    began: Timestamp,
    used: u64,
    blocked_until: Option<Timestamp>,
}

impl Counts {
    /// Counts one request of a client by a rule.
    pub(super) fn take(&self, name: &str, rule: &RateLimit, address: Option<IpAddr>, now: Timestamp) -> Verdict {
        let interval = rule.interval.0.max(Duration::from_secs(1));
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.contains_key(name) {
            counts.insert(name.to_owned(), HashMap::new());
        }
        let Some(clients) = counts.get_mut(name) else { return pass(name, rule, interval) };
        let client = place(clients, client(address), interval, now);
        let window = clients.entry(client).or_insert(Window { began: now, used: 0, blocked_until: None });
        if now.since(window.began) >= interval {
            *window = Window { began: now, used: 0, blocked_until: window.blocked_until };
        }
        window.blocked_until = window.blocked_until.filter(|until| *until > now);
        let limit = rule.limit();
        let allowed = window.used < limit && window.blocked_until.is_none();
        let reset = window.began.plus(interval).since(now);
        if allowed {
            window.used += 1;
        } else if !rule.block_interval.is_zero() {
            window.blocked_until.get_or_insert(now.plus(rule.block_interval.0));
        }
        let blocked = window.blocked_until.map(|until| until.since(now));
        let retry_after = if allowed { Duration::ZERO } else { blocked.unwrap_or(reset) };
        let remaining = limit.saturating_sub(window.used);
        Verdict { rule: name.to_owned(), allowed, limit, remaining, reset, retry_after }
    }

    /// Forgets what was counted by a rule.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn pass(name: &str, rule: &RateLimit, reset: Duration) -> Verdict {
    let limit = rule.limit();
    Verdict { rule: name.to_owned(), allowed: true, limit, remaining: limit, reset, retry_after: Duration::ZERO }
}

/// What counts as one client. An IPv6 host commonly has a whole /64 to itself (RFC 4291, section 2.5.4), so that its
/// single addresses would be no limit at all; Vault counts them one by one.
fn client(address: Option<IpAddr>) -> IpAddr {
    match address {
        Some(IpAddr::V6(address)) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        Some(address) => address,
        None => OTHERS,
    }
}

/// Stands for unix sockets, and for those for whom there was no more room.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Where a client is counted; makes room by forgetting those whose interval is over.
fn place(clients: &mut HashMap<IpAddr, Window>, client: IpAddr, interval: Duration, now: Timestamp) -> IpAddr {
    if clients.len() < MOST_CLIENTS || clients.contains_key(&client) {
        return client;
    }
    clients.retain(|_, window| {
        now.since(window.began) < interval || window.blocked_until.is_some_and(|until| until > now)
    });
    if clients.len() < MOST_CLIENTS { client } else { OTHERS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_model::Ttl;

    fn rule(rate: f64, interval: u64, block: u64) -> RateLimit {
        let (interval, block_interval) = (Ttl::from_secs(interval), Ttl::from_secs(block));
        RateLimit { path: String::new(), rate, interval, block_interval, inheritable: true }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + secs)
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_client_has_its_rate_in_each_interval_and_others_have_theirs() {
        let (counts, rule, ann) = (Counts::default(), rule(2.0, 10, 0), address("10.0.0.1"));
        assert_eq!(counts.take("q", &rule, ann, at(0)).remaining, 1);
        assert!(counts.take("q", &rule, ann, at(4)).allowed);
        let refused = counts.take("q", &rule, ann, at(4));
        assert_eq!((refused.allowed, refused.remaining, refused.retry_after), (false, 0, Duration::from_secs(6)));
        assert!(counts.take("q", &rule, address("10.0.0.2"), at(4)).allowed);
        assert!(counts.take("q", &rule, ann, at(10)).allowed);
    }

    #[test]
    fn a_blocked_client_waits_for_the_end_of_its_block() {
        let (counts, rule, ann) = (Counts::default(), rule(1.0, 1, 60), address("10.0.0.1"));
        assert!(counts.take("q", &rule, ann, at(0)).allowed);
        assert_eq!(counts.take("q", &rule, ann, at(0)).retry_after, Duration::from_secs(60));
        let still = counts.take("q", &rule, ann, at(59));
        assert_eq!((still.allowed, still.retry_after), (false, Duration::from_secs(1)));
        assert!(counts.take("q", &rule, ann, at(60)).allowed);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let (counts, rule) = (Counts::default(), rule(1.0, 10, 0));
        assert!(counts.take("q", &rule, address("2001:db8:1:2::1"), at(0)).allowed);
        assert!(!counts.take("q", &rule, address("2001:db8:1:2:ffff::9"), at(0)).allowed);
        assert!(counts.take("q", &rule, address("2001:db8:1:3::1"), at(0)).allowed);
    }

    #[test]
    fn a_crowd_of_addresses_takes_bounded_memory_and_shares_what_is_left() {
        let (counts, rule) = (Counts::default(), rule(1.0, 10, 0));
        let take =
            |n: usize, now| counts.take("q", &rule, Some(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + n as u32))), now);
        for n in 0..MOST_CLIENTS {
            assert!(take(n, at(0)).allowed);
        }
        assert!(take(MOST_CLIENTS, at(1)).allowed, "the first of the rest");
        assert!(!take(MOST_CLIENTS + 1, at(1)).allowed, "counts together with the first");
        assert!(take(MOST_CLIENTS + 2, at(11)).allowed, "room again");
        assert!(counts.0.lock().unwrap()["q"].len() < 10);
    }
}

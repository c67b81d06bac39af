//! `bootstrap.servers`: what a list of brokers must look like. Never shows what stands before an `@`.

use super::units::Wrong;

/// Whether this property is a list of brokers.
pub fn is_list(property: &str) -> bool {
    matches!(property, "bootstrap.servers" | "metadata.broker.list")
}

/// Whether there may be a password in the list.
pub fn may_hold_a_secret(list: &str) -> bool {
    list.contains('@')
}

/// Whether every entry is `host:port`. An empty list is for others to complain of.
pub fn check(list: &str) -> Result<(), Wrong> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).try_for_each(entry)
}

fn entry(entry: &str) -> Result<(), Wrong> {
    let wrong = |shown: &str, why: &str, fix: &str| Err((format!("{shown:?} {why}"), fix.to_owned()));
    if let Some((before, server)) = entry.rsplit_once('@') {
        let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
        let fix = "write host:port alone; the login goes into sasl.username and sasl.password";
        return wrong(
            &format!("{scheme}…@{server}"),
            "has a login in it, which no server's name can have",
            fix,
        );
    }
    if let Some((scheme, server)) = entry.split_once("://") {
        let why = format!("begins with {scheme}://, which no server's name can");
        let fix = format!("write {}; the protocol goes into security.protocol", server.trim_end_matches('/'));
        return Err((format!("{entry:?} {why}"), fix));
    }
    let fix = "write host:port, as in broker-1:9092 or [::1]:9092, and a comma between two of them";
    let (host, port) = match entry.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, rest))) => (host, rest.strip_prefix(':')),
        Some(None) => return wrong(entry, "has a [ without its ]", fix),
        None if entry.matches(':').count() > 1 => {
            return wrong(
                entry,
                "has more than one colon",
                "write host:port, and an IPv6 address in [ and ]: [::1]:9092",
            );
        }
        None => entry.split_once(':').map_or((entry, None), |(host, port)| (host, Some(port))),
    };
    match port {
        _ if host.is_empty() => wrong(entry, "names no host", fix),
        _ if host.contains(|c: char| c.is_whitespace() || "/\\\"'=;".contains(c)) => {
            wrong(entry, "is no server's name", fix)
        }
        None => wrong(entry, "has no port", fix),
        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        Some(_) => wrong(entry, "has no port from 1 to 65535", fix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_host_and_port() {
        for good in ["a:1", " a.b-c:9092 , d_e:65535,", "[::1]:9092,10.0.0.1:1", "", " , "] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("a", "no port"),
            ("a:1,b", "\"b\" has no port"),
            (":9092", "no host"),
            ("[]:1", "no host"),
            ("a:", "no port from 1"),
            ("a:0", "no port from 1"),
            ("a:65536", "no port from 1"),
            ("a:x", "no port from 1"),
            ("::1", "more than one colon"),
            ("[::1", "without its ]"),
            ("[::1]9092", "no port"),
            ("a b:1", "no server's name"),
            ("http://a:1", "begins with http://"),
            ("SSL://a:1", "begins with SSL://"),
            ("u:hunter2@a:1", "\"…@a:1\" has a login"),
            ("http://u:hunter2@a:1", "\"http://…@a:1\" has a login"),
            ("u:hunter2@x@a:1", "\"…@a:1\" has a login"),
        ] {
            let (message, fix) = check(bad).unwrap_err();
            assert!(message.contains(why), "{bad}: {message}");
            assert!(!message.contains("hunter2") && !fix.contains("hunter2"), "{bad}: {message}; {fix}");
        }
    }
}

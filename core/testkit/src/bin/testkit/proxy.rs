//! Lines to servers, for programs in any language.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use dbgraft_testkit::Proxy;
use url::Url;

use crate::Failure;

/// Carries until standard input ends; says how much on each line of it.
pub(crate) fn carry(urls: &[String], round_trip: u64, rate: u64) -> Result<(), Failure> {
    let lines: Vec<(Proxy, Url)> = urls.iter().map(|url| line(url, round_trip, rate)).collect::<Result<_, _>>()?;
    say(&mut lines.iter().map(|(_, url)| url.to_string()))?;
    for asked in io::stdin().lock().lines() {
        asked?;
        let counts = lines.iter().flat_map(|(line, _)| [line.sent_up(), line.sent_down()]);
        say(&mut counts.map(|count| count.to_string()))?;
    }
    Ok(())
}

/// A line to the server of a URL, and the URL of its near end.
fn line(url: &str, round_trip: u64, rate: u64) -> Result<(Proxy, Url), Failure> {
    let mut url = Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port()) else {
        return Err("the URL of a server has a host and a port".into());
    };
    let line = Proxy::start((host, port))?;
    line.set_latency(Duration::from_millis(round_trip) / 2);
    line.set_rate(Some(rate));
    let near = line.address();
    url.set_host(Some(&near.ip().to_string()))?;
    url.set_port(Some(near.port())).map_err(|()| "this kind of URL has no port")?;
    Ok((line, url))
}

fn say(words: &mut dyn Iterator<Item = String>) -> io::Result<()> {
    writeln!(io::stdout(), "{}", words.collect::<Vec<_>>().join(" "))?;
    io::stdout().flush()
}

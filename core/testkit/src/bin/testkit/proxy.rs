//! Simulated network links to servers, for programs in any language.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use dbgraft_testkit::Proxy;
use url::Url;

use crate::Failure;

/// Serves until standard input ends. Prints the byte counts for each line of it.
pub(crate) fn serve(urls: &[String], round_trip: u64, rate: u64) -> Result<(), Failure> {
    let links: Vec<(Proxy, Url)> = urls.iter().map(|url| link(url, round_trip, rate)).collect::<Result<_, _>>()?;
    print_line(&mut links.iter().map(|(_, url)| url.to_string()))?;
    for request in io::stdin().lock().lines() {
        request?;
        let counts = links.iter().flat_map(|(link, _)| [link.sent_up(), link.sent_down()]);
        print_line(&mut counts.map(|count| count.to_string()))?;
    }
    Ok(())
}

/// A link to the server of a URL, and the URL of the link.
fn link(url: &str, round_trip: u64, rate: u64) -> Result<(Proxy, Url), Failure> {
    let mut url = Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port()) else {
        return Err("the URL of a server has a host and a port".into());
    };
    let link = Proxy::start((host, port))?;
    link.set_latency(Duration::from_millis(round_trip) / 2);
    link.set_rate(Some(rate));
    let near = link.address();
    url.set_host(Some(&near.ip().to_string()))?;
    url.set_port(Some(near.port())).map_err(|()| "this kind of URL has no port")?;
    Ok((link, url))
}

fn print_line(words: &mut dyn Iterator<Item = String>) -> io::Result<()> {
    writeln!(io::stdout(), "{}", words.collect::<Vec<_>>().join(" "))?;
    io::stdout().flush()
}

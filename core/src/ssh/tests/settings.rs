use std::path::Path;

use super::*;
use crate::ssh::address::Destination;
use crate::ssh::settings::{parse_entries, run_ssh_g};
use crate::ssh::settings_file;

const MAIN: &str = "\
# A comment
Host !db2 db*
    HostName %h.example
    Port=2201
  User = app
    IdentityFile \"~/.ssh/key of db\"
    IdentitiesOnly yes
Host db2
    HostName 10.0.0.2
    ProxyJump bob@outer:2222,[fe80::1]:23
    ConnectTimeout 7
    HostKeyAlias the-second
    IdentityAgent none
Host behind ?x
    ProxyJump none
    ProxyCommand nc %h %p
    IdentityAgent /run/%r.sock
Match host matched
    Port 7777
Host db1 behind
    Include INCLUDED*.conf
    Port 9
Host other
    include NOWHERE
    UserKnownHostsFile \"/a/known\" ~/known
Host *
    User everybody
    IdentityFile /keys/%n-%h-%p-%r-%%
    GlobalKnownHostsFile none
    UserKnownHostsFile /known
";

const INCLUDED: &str = "\
Host db1
    IdentityFile /included
Host behind
    User included
Host *
    Port 5555
    IdentityFile /included-too
";

fn destination(host: &str) -> Destination {
    Destination { user: None, host: host.to_owned(), port: None }
}

#[tokio::test]
async fn settings_are_parsed_like_by_ssh() {
    let dir = Dir::new();
    dir.file("included-1.conf", INCLUDED);
    dir.file("included-2.conf", "Host *\nIdentityFile /second\n");
    dir.file(".included.conf", "Port 1\n");
    let text = MAIN.replace("INCLUDED", &dir.path("included")).replace("NOWHERE", &dir.path("nowhere"));
    let config = dir.file("config", &text);
    let config = Path::new(&config);
    for host in ["db1", "db2", "db", "other", "nobody", "DB1", "behind", "ax", "aax"] {
        let destination = destination(host);
        let by_ssh = run_ssh_g(&destination, Some(config)).await.unwrap().unwrap();
        let parsed_by_us = settings_file::read(host, Some(config)).unwrap();
        let parsed = |entries| {
            parse_entries(&destination, entries).map_or_else(|error| error.to_string(), |parsed| format!("{parsed:?}"))
        };
        assert_eq!(parsed(&parsed_by_us), parsed(&by_ssh), "{host}");
    }
    // Defaults are equal too, except for key types that dbgraft does not support.
    let empty = Path::new("/dev/null");
    let by_ssh =
        parse_entries(&destination("x"), &run_ssh_g(&destination("x"), Some(empty)).await.unwrap().unwrap()).unwrap();
    let parsed_by_us =
        parse_entries(&Destination { user: Some(by_ssh.user.clone()), ..destination("x") }, &Vec::new()).unwrap();
    assert!(parsed_by_us.identities.iter().all(|key| by_ssh.identities.contains(key)), "{by_ssh:?}");
    assert_eq!(
        (parsed_by_us.port, parsed_by_us.known_hosts, parsed_by_us.agent),
        (by_ssh.port, by_ssh.known_hosts, by_ssh.agent)
    );
}

#[tokio::test]
async fn unreadable_settings_are_errors() {
    let dir = Dir::new();
    let wrong = dir.file("config", "NoSuchSetting yes\n");
    let error = connect_error(&client(&format!("ssh://x?config={wrong}"))).await;
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("SSH settings of x"), "{error}");
    let error = settings_file::read("x", Some(Path::new("/nowhere/config"))).unwrap_err();
    assert!(error.to_string().contains("/nowhere/config"), "{error}");
    let circle = dir.path("circle");
    dir.file("circle", &format!("Include {circle}\n"));
    assert!(settings_file::read("x", Some(Path::new(&circle))).unwrap_err().to_string().contains("too deeply"));
}

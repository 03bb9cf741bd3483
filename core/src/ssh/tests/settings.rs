use std::path::Path;

use super::*;
use crate::ssh::address::Stop;
use crate::ssh::settings::{by_ssh, understand};
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

fn stop(host: &str) -> Stop {
    Stop { user: None, host: host.to_owned(), port: None }
}

#[tokio::test]
async fn our_reading_of_the_settings_is_that_of_ssh() {
    let dir = Dir::new();
    dir.file("included-1.conf", INCLUDED);
    dir.file("included-2.conf", "Host *\nIdentityFile /second\n");
    dir.file(".included.conf", "Port 1\n");
    let text = MAIN.replace("INCLUDED", &dir.path("included")).replace("NOWHERE", &dir.path("nowhere"));
    let config = dir.file("config", &text);
    let config = Path::new(&config);
    for host in ["db1", "db2", "db", "other", "nobody", "DB1", "behind", "ax", "aax"] {
        let stop = stop(host);
        let by_ssh = by_ssh(&stop, Some(config)).await.unwrap().unwrap();
        let by_us = settings_file::read(host, Some(config)).unwrap();
        let told = |pairs| understand(&stop, pairs).map_or_else(|error| error.to_string(), |told| format!("{told:?}"));
        assert_eq!(told(&by_us), told(&by_ssh), "{host}");
    }
    // Where nothing is said, too; of the keys that `ssh` would try we have not all types.
    let empty = Path::new("/dev/null");
    let by_ssh = understand(&stop("x"), &by_ssh(&stop("x"), Some(empty)).await.unwrap().unwrap()).unwrap();
    let by_us = understand(&Stop { user: Some(by_ssh.user.clone()), ..stop("x") }, &Vec::new()).unwrap();
    assert!(by_us.identities.iter().all(|key| by_ssh.identities.contains(key)), "{by_ssh:?}");
    assert_eq!((by_us.port, by_us.known_hosts, by_us.agent), (by_ssh.port, by_ssh.known_hosts, by_ssh.agent));
}

#[tokio::test]
async fn settings_that_cannot_be_read_are_told() {
    let dir = Dir::new();
    let wrong = dir.file("config", "NoSuchSetting yes\n");
    let error = refusal(&host(&format!("ssh://x?config={wrong}"))).await;
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("SSH settings of x"), "{error}");
    let error = settings_file::read("x", Some(Path::new("/nowhere/config"))).unwrap_err();
    assert!(error.to_string().contains("/nowhere/config"), "{error}");
    let circle = dir.path("circle");
    dir.file("circle", &format!("Include {circle}\n"));
    assert!(settings_file::read("x", Some(Path::new(&circle))).unwrap_err().to_string().contains("too deeply"));
}

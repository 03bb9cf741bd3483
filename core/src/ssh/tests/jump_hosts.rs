use super::*;

/// Two or more servers that are known by one file, and a key that all accept.
struct Hosts {
    servers: Vec<testkit::Sshd>,
    dir: Dir,
}

impl Hosts {
    fn start(count: usize) -> Self {
        let (dir, first) = (Dir::new(), testkit::Sshd::start().unwrap());
        let key = fs::read_to_string(first.identity.with_extension("pub")).unwrap();
        let accepted = dir.file("authorized_keys", &key);
        let mut servers = vec![first];
        for _ in 1..count {
            servers.push(testkit::Sshd::options().line(format!("AuthorizedKeysFile {accepted}")).start().unwrap());
        }
        let known: String = servers.iter().map(|server| fs::read_to_string(&server.known_hosts).unwrap()).collect();
        dir.file("known", &known);
        Self { servers, dir }
    }

    fn place(&self, index: usize) -> String {
        let server = &self.servers[index];
        format!("{}@127.0.0.1:{}", server.user, server.port)
    }

    /// The last host, through the others.
    fn url(&self, more: &str) -> String {
        let last = self.place(self.servers.len() - 1);
        let (key, known) = (self.servers[0].identity.display(), self.dir.path("known"));
        format!("ssh://{last}?identity={key}&known-hosts={known}{more}")
    }

    /// Whether the last host was reached through another one: what it saw of the connection.
    fn reached_from(&self, index: usize) -> bool {
        let from = self.servers[index].pid.unwrap();
        self.servers[index].log().contains("Accepted publickey") && from > 0
    }
}

#[tokio::test]
async fn hosts_are_reached_over_jump_hosts() {
    let hosts = Hosts::start(3);
    let one = hosts.url(&format!("&config=/dev/null&jump={}", hosts.place(0)));
    let session = connect(&client(&one)).await.unwrap();
    assert_eq!(output(&session, "echo there").await, "there\n");
    assert!(hosts.reached_from(0) && !hosts.reached_from(1));
    let two = hosts.url(&format!("&config=/dev/null&jump={},{}", hosts.place(0), hosts.place(1)));
    let session = connect(&client(&two)).await.unwrap();
    assert_eq!(output(&session, "head -c 3000000 /dev/zero | wc -c").await.trim(), "3000000");
    assert!(hosts.reached_from(1));
    // Each is checked by itself.
    let last = fs::read_to_string(&hosts.servers[2].known_hosts).unwrap();
    let known = hosts.dir.file("last", &last);
    let error = connect_error(&client(&one.replace(&hosts.dir.path("known"), &known))).await;
    assert!(error.to_string().contains(&format!("[127.0.0.1]:{}: the host's key", hosts.servers[0].port)), "{error}");
    // What adds a host behind another one asks from there.
    let first = fs::read_to_string(&hosts.servers[0].known_hosts).unwrap();
    let known = hosts.dir.file("first", &first);
    let error = connect_error(&client(&one.replace(&hosts.dir.path("known"), &known))).await;
    let (user, port) = (&hosts.servers[0].user, hosts.servers[0].port);
    assert!(error.to_string().contains(&format!("`ssh -p {port} {user}@127.0.0.1 ssh-keyscan -p")), "{error}");
}

#[tokio::test]
async fn an_alias_with_a_jump_and_an_include_is_followed() {
    let hosts = Hosts::start(3);
    let (user, key) = (&hosts.servers[0].user, hosts.servers[0].identity.display());
    let port = |index: usize| hosts.servers[index].port;
    let all = hosts.dir.file(
        "all",
        &format!("Host *\n  User {user}\n  IdentityFile {key}\n  UserKnownHostsFile {}\n", hosts.dir.path("known")),
    );
    let text = format!(
        "Host db\n  HostName 127.0.0.1\n  Port {}\n  ProxyJump inner\nHost inner\n  HostName 127.0.0.1\n  Port {}\n  \
         ProxyJump outer\nHost out*\n  HostName 127.0.0.1\n  Port {}\nHost loop\n  ProxyJump pool\nHost pool\n  ProxyJump \
         loop\nHost by-command\n  ProxyCommand nc %h %p\nHost *\n  Include {all}\n",
        port(2),
        port(1),
        port(0)
    );
    let config = hosts.dir.file("config", &text);
    let session = connect(&client(&format!("ssh://db?config={config}"))).await.unwrap();
    assert_eq!(output(&session, "echo there").await, "there\n");
    assert!(hosts.reached_from(0) && hosts.reached_from(1) && hosts.reached_from(2));
    let error = connect_error(&client(&format!("ssh://loop?config={config}"))).await;
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("form a loop"), "{error}");
    let error = connect_error(&client(&format!("ssh://by-command?config={config}"))).await;
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("ProxyCommand is not supported"), "{error}");
    // The URL wins.
    let error = connect_error(&client(&format!("ssh://db:x@db:{}?config={config}&jump=none", port(2)))).await;
    assert!(error.to_string().contains(&format!("db@127.0.0.1:{}", port(2))), "{error}");
}

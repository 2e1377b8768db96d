//! PINs by a client's own agent, over a real bus and a real (SoftHSM) token.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod common;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

use common::tokens::{
    Person, TOKEN, at, error, expect_logins, interactive, pin, property, set_display, sign, token,
    unlock,
};
use common::{DEADLINE, PIN, World, cms, error_name, job, manager, null, pipe, xml};
use privyseal_proto::limits::WAIT_MAX;
use privyseal_proto::proxy::AgentManagerProxy;
use privyseal_proto::{Dict, ErrorName, Failure, INTERFACES};
use serde_bytes::Bytes;
use tokio::sync::mpsc;
use zbus::fdo::IntrospectableProxy;
use zbus::{Connection, Fd, ObjectPath, OwnedObjectPath, Variant, interface};

const AGENT: ObjectPath<'static> = ObjectPath::from_static_str_unchecked("/agent");

/// What an agent does when it is asked.
enum Answer {
    Pin(&'static str),
    Descriptor(OwnedFd),
    No(ErrorName),
    /// nothing, until the connection ends
    Hang,
}

/// What an agent was told.
#[derive(Debug)]
enum Told {
    Asked {
        kind: String,
        token: OwnedObjectPath,
        details: Dict,
    },
    Displayed {
        kind: String,
        details: Dict,
    },
    Dismissed(String),
    Released,
}

struct Agent {
    answers: Mutex<VecDeque<Answer>>,
    told: mpsc::UnboundedSender<Told>,
}

#[interface(name = "org.privyseal1.Agent")]
impl Agent {
    async fn request_pin(
        &self,
        token: OwnedObjectPath,
        kind: String,
        details: Dict,
    ) -> Result<zbus::OwnedFd, Failure> {
        let _ = self.told.send(Told::Asked {
            kind,
            token,
            details,
        });
        let answer = self.answers.lock().unwrap().pop_front();
        match answer.unwrap_or(Answer::No(ErrorName::Cancelled)) {
            Answer::Pin(text) => Ok(pin(text).into()),
            Answer::Descriptor(fd) => Ok(fd.into()),
            Answer::No(name) => Err(Failure::new(name, "no")),
            Answer::Hang => std::future::pending().await,
        }
    }

    async fn display(&self, kind: String, details: Dict) {
        let _ = self.told.send(Told::Displayed { kind, details });
    }

    async fn dismiss(&self, cookie: String) {
        let _ = self.told.send(Told::Dismissed(cookie));
    }

    async fn release(&self) {
        let _ = self.told.send(Told::Released);
    }
}

/// A client's agent, from the test's side.
struct Watched(mpsc::UnboundedReceiver<Told>);

impl Watched {
    async fn next(&mut self) -> Told {
        let next = tokio::time::timeout(DEADLINE, self.0.recv());
        next.await.expect("the agent was not told").unwrap()
    }

    /// The kind and details of the next request.
    async fn asked(&mut self) -> (String, Dict) {
        match self.next().await {
            Told::Asked { kind, details, .. } => (kind, details),
            other => panic!("{other:?}"),
        }
    }

    fn is_quiet(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// An agent, and what it is told.
fn agent(answers: impl IntoIterator<Item = Answer>) -> (Agent, Watched) {
    let (told, seen) = mpsc::unbounded_channel();
    let answers = Mutex::new(answers.into_iter().collect());
    (Agent { answers, told }, Watched(seen))
}

/// A client that serves an agent, not yet registered. The builder waits until calls are taken.
async fn serving(
    world: &World,
    answers: impl IntoIterator<Item = Answer>,
) -> (Connection, Watched) {
    let (agent, watched) = agent(answers);
    let client = zbus::connection::Builder::address(world.address.as_str())
        .serve_at(AGENT, agent)
        .build()
        .await
        .unwrap();
    (client, watched)
}

async fn agents(client: &Connection) -> AgentManagerProxy<'_> {
    AgentManagerProxy::new(client).await.unwrap()
}

async fn with_agent(
    world: &World,
    answers: impl IntoIterator<Item = Answer>,
) -> (Connection, Watched) {
    let (client, watched) = serving(world, answers).await;
    let manager = agents(&client).await;
    manager
        .register_agent(AGENT, "pin", HashMap::new())
        .await
        .unwrap();
    (client, watched)
}

fn from_agent<'a>() -> HashMap<&'a str, Variant<'a>> {
    let mut options = interactive();
    options.insert("source", "agent".into());
    options
}

fn text<'a>(details: &'a Dict, key: &str) -> &'a str {
    <&str>::try_from(&details[key]).unwrap()
}

fn logins(world: &World) -> usize {
    world.log().matches("C_Login").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_asked_for_the_jobs_of_its_own_connection_and_told_all_that_is_known() {
    let world = World::with_token();
    let (client, mut agent) = with_agent(&world, [Answer::Pin(PIN)]).await;
    let (path, _) = token(&world, &client).await;
    let mut options = interactive();
    options.insert("handle_token", "mine".into());
    let (response, results) = unlock(&client, &path, options).await;
    assert_eq!(response, 0, "{results:?}");
    let Told::Asked {
        kind,
        token,
        details,
    } = agent.next().await
    else {
        panic!("not asked");
    };
    assert_eq!((kind.as_str(), &token), ("user", &path));
    let description = text(&details, "description");
    assert!(description.contains("privyseal-demo"), "{description}");
    assert_eq!(text(&details, "last-error"), "");
    assert_eq!(i32::try_from(&details["tries-left"]), Ok(-1));
    assert_eq!(u32::try_from(&details["min"]), Ok(4));
    assert_eq!(u32::try_from(&details["max"]), Ok(255));
    let Variant::ObjectPath(job) = &*details["job"] else {
        panic!("{details:?}");
    };
    assert!(job.ends_with("/mine"), "{job}");
    assert!(!text(&details, "cookie").is_empty());
    assert_eq!(details.len(), 7, "{details:?}");
    assert!(agent.is_quiet());
    assert!(!world.log().contains(PIN), "a PIN is in the log");

    // another connection has none, whatever it says
    at(&client, &path).await.lock().await.unwrap();
    let other = world.connect().await;
    let refused = at(&other, &path).await.unlock(from_agent()).await;
    assert_eq!(error_name(refused), "NoAgent");
    let (response, results) = unlock(&other, &path, interactive()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::PinRequired));
    // nor is it asked where the call may ask nobody
    let (response, results) = unlock(&client, &path, HashMap::new()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::PinRequired));
    assert!(agent.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_is_told_with_the_next_request_and_each_is_sent_once() {
    let world = World::with_token();
    let (client, mut agent) =
        with_agent(&world, [Answer::Pin("wrong-one"), Answer::Pin(PIN)]).await;
    let (path, _) = token(&world, &client).await;
    let before = logins(&world);
    let (response, results) = unlock(&client, &path, from_agent()).await;
    assert_eq!(response, 0, "{results:?}");
    let (_, first) = agent.asked().await;
    let (_, second) = agent.asked().await;
    assert_eq!(text(&first, "last-error"), "");
    assert_eq!(text(&second, "last-error"), "the PIN is wrong");
    assert_eq!(i32::try_from(&second["tries-left"]), Ok(-1));
    assert_ne!(text(&first, "cookie"), text(&second, "cookie"));
    expect_logins(&world, before + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_try_is_asked_for_by_our_own_pinentry() {
    let person = Person::new(&format!("{PIN}\n"));
    let world = World::with_token_and_pinentry(&person.program());
    let wrong = || [Answer::Pin("wrong-one"), Answer::Pin("wrong-two")];
    let (client, mut agent) = with_agent(&world, wrong()).await;
    set_display(&client).await;
    let (path, _) = token(&world, &client).await;
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!(response, 0, "{results:?}");
    for _ in 0..2 {
        agent.asked().await;
    }
    assert!(agent.is_quiet());
    let asked = person.asked();
    let questions: Vec<_> = asked
        .lines()
        .filter(|line| ["GETPIN", "CONFIRM"].contains(line))
        .collect();
    assert_eq!(questions, ["CONFIRM", "GETPIN"]);

    // nor where there is no other prompt: nothing is sent then
    at(&client, &path).await.lock().await.unwrap();
    let (bare, mut agent) = with_agent(&world, wrong()).await;
    let (response, results) = unlock(&bare, &path, from_agent()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::BadPinFinalTry));
    for _ in 0..2 {
        agent.asked().await;
    }
    assert!(agent.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_no_cancels_and_one_that_cannot_ask_is_none() {
    let person = Person::new(&format!("{PIN}\n"));
    let world = World::with_token_and_pinentry(&person.program());
    let no = |name| Answer::No(name);
    let answers = [
        no(ErrorName::Cancelled),
        no(ErrorName::Failed),
        no(ErrorName::Failed),
    ];
    let (client, mut agent) = with_agent(&world, answers).await;
    set_display(&client).await;
    let (path, _) = token(&world, &client).await;
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!((response, error(&results)), (1, ErrorName::Cancelled));
    assert_eq!(person.entries(), 0);
    let (response, results) = unlock(&client, &path, from_agent()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::NoAgent));
    assert_eq!(person.entries(), 0);
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!(response, 0, "{results:?}");
    assert_eq!(person.entries(), 1);
    for _ in 0..3 {
        agent.asked().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_is_dismissed_when_its_job_is_cancelled() {
    let world = World::with_token();
    let (client, mut agent) = with_agent(&world, [Answer::Hang, Answer::Pin(PIN)]).await;
    let (path, _) = token(&world, &client).await;
    let running = at(&client, &path)
        .await
        .unlock(interactive())
        .await
        .unwrap();
    let running = job(&client, running).await;
    let (_, details) = agent.asked().await;
    assert_eq!(running.state().await.unwrap(), "waiting-for-user");
    // meanwhile everybody else is served
    let other = world.connect().await;
    assert_eq!(manager(&other).await.version().await.unwrap(), 1);
    running.cancel().await.unwrap();
    let (response, results) = running.wait(WAIT_MAX).await.unwrap();
    assert_eq!((response, error(&results)), (1, ErrorName::Cancelled));
    match agent.next().await {
        Told::Dismissed(cookie) => assert_eq!(cookie, text(&details, "cookie")),
        other => panic!("{other:?}"),
    }
    assert_eq!(unlock(&client, &path, interactive()).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_goes_while_it_is_asked_leaves_the_question_to_the_next_prompt() {
    let person = Person::new(&format!("{PIN}\n"));
    let world = World::with_token_and_pinentry(&person.program());
    let (client, mut agent) = with_agent(&world, [Answer::Hang]).await;
    set_display(&client).await;
    let (path, _) = token(&world, &client).await;
    let running = at(&client, &path)
        .await
        .unlock(interactive())
        .await
        .unwrap();
    agent.asked().await;
    agents(&client).await.unregister_agent(AGENT).await.unwrap();
    let (response, results) = job(&client, running).await.wait(WAIT_MAX).await.unwrap();
    assert_eq!(response, 0, "{results:?}");
    assert_eq!(person.entries(), 1);

    // with its connection its jobs go, and whoever waits for the token is next
    at(&client, &path).await.lock().await.unwrap();
    let (leaving, mut agent) = with_agent(&world, [Answer::Hang]).await;
    at(&leaving, &path)
        .await
        .unlock(interactive())
        .await
        .unwrap();
    agent.asked().await;
    let fd = pin(PIN);
    let waiting = common::tokens::unlock_by(&client, &path, &fd);
    leaving.close().await.unwrap();
    assert_eq!(waiting.await.0, 0);
    assert_eq!(person.entries(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descriptor_that_holds_no_pin_ends_the_job_and_nothing_is_sent() {
    let world = World::with_token();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let bad = [
        (Answer::Descriptor(socket.into()), "InvalidArgument"),
        (Answer::Descriptor(pin(&"1".repeat(256))), "PinInvalid"),
        (Answer::Descriptor(pin("\n")), "PinInvalid"),
        (Answer::Descriptor(pipe().1), "InvalidArgument"),
    ];
    let (answers, errors): (Vec<_>, Vec<_>) = bad.into_iter().unzip();
    let (client, _agent) = with_agent(&world, answers).await;
    let (path, _) = token(&world, &client).await;
    let before = logins(&world);
    for wanted in errors {
        let (response, results) = unlock(&client, &path, from_agent()).await;
        assert_eq!((response, error(&results).short()), (2, wanted));
    }
    assert_eq!(logins(&world), before);
    assert_eq!(property(&client, &path, TOKEN, "State").await, "locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_are_set_anew_by_an_agent() {
    let world = World::with_token();
    let answers = [
        Answer::Pin(PIN),
        Answer::Pin("1"),
        Answer::Pin("24-second-42"),
        // the SO PIN that privyseal-softhsm gives
        Answer::Pin("privyseal-demo-so"),
        Answer::Pin("24-third-42"),
        Answer::Pin("24-third-42"),
    ];
    let (client, mut agent) = with_agent(&world, answers).await;
    let (path, _) = token(&world, &client).await;
    let token = at(&client, &path).await;
    let done = async |path| job(&client, path).await.wait(WAIT_MAX).await.unwrap();
    let (response, results) = done(token.change_pin(interactive()).await.unwrap()).await;
    assert_eq!(response, 0, "{results:?}");
    assert_eq!(agent.asked().await.0, "user");
    assert_eq!(agent.asked().await.0, "new");
    let (kind, details) = agent.asked().await;
    assert_eq!(kind, "new");
    assert!(text(&details, "last-error").contains("characters"));

    let (response, results) = done(token.unblock_pin(interactive()).await.unwrap()).await;
    assert_eq!(response, 0, "{results:?}");
    assert_eq!(agent.asked().await.0, "so");
    assert_eq!(agent.asked().await.0, "new");
    assert_eq!(unlock(&client, &path, interactive()).await.0, 0);
    assert_eq!(agent.asked().await.0, "user");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_keypad_the_agent_shows_what_to_do_until_it_is_done() {
    let world = World::with_keypad();
    let (client, mut agent) = serving(&world, []).await;
    let (path, _) = token(&world, &client).await;
    let manager = agents(&client).await;
    for capability in ["pin", "display"] {
        manager
            .register_agent(AGENT, capability, HashMap::new())
            .await
            .unwrap();
    }
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!(response, 0, "{results:?}");
    // an object server may take two calls in either order
    let mut cookies = Vec::new();
    for _ in 0..2 {
        match agent.next().await {
            Told::Displayed { kind, details } => {
                assert_eq!(kind, "pinpad");
                assert_eq!(*details["token"], Variant::ObjectPath(path.as_ref()));
                cookies.push(text(&details, "cookie").to_owned());
            }
            Told::Dismissed(cookie) => cookies.push(cookie),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(cookies[0], cookies[1]);
    assert!(agent.is_quiet(), "no PIN is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_wants_its_pin_at_every_use_is_asked_about_by_an_agent() {
    let world = World::with_key_for_each_use();
    let (client, mut agent) = with_agent(&world, [Answer::Pin(PIN), Answer::Pin(PIN)]).await;
    let (path, _) = token(&world, &client).await;
    let certificate = File::open(world.folder().join("token/peer-rsa.pem")).unwrap();
    let certificates = Variant::from(vec![Fd::from(certificate.as_fd())]);
    let options = HashMap::from([
        ("certificates", certificates),
        ("encrypt-to-self", false.into()),
    ]);
    let cms = cms(&client).await;
    let (secret, _) = cms
        .encrypt_bytes(Bytes::new(b"hello"), &["fd:0"], options)
        .await
        .unwrap();
    let message = pin(std::str::from_utf8(&secret).unwrap());
    let running = cms
        .decrypt(message.as_fd().into(), null().as_fd().into(), interactive())
        .await
        .unwrap();
    let (response, results) = job(&client, running).await.wait(WAIT_MAX).await.unwrap();
    assert_eq!(response, 0, "{results:?}");
    let (kind, details) = agent.asked().await;
    assert_eq!(kind, "user");
    assert!(text(&details, "description").contains("open an encrypted message"));
    let (kind, details) = agent.asked().await;
    assert_eq!(kind, "context");
    assert!(text(&details, "description").contains("for this use"));
    assert_eq!(property(&client, &path, TOKEN, "State").await, "unlocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_registered_one_for_each_capability_and_told_when_the_daemon_ends() {
    let mut world = World::with_token();
    let (client, mut agent) = serving(&world, []).await;
    let manager = agents(&client).await;
    let register = async |path: &'static str, capability, options| {
        let path = ObjectPath::from_static_str_unchecked(path);
        manager.register_agent(path, capability, options).await
    };
    let none = HashMap::new;
    let unknown = HashMap::from([("default", true.into())]);
    assert_eq!(
        error_name(register("/agent", "pin", unknown).await),
        "InvalidArgument"
    );
    assert_eq!(
        error_name(register("/agent", "all", none()).await),
        "InvalidArgument"
    );
    assert_eq!(error_name(manager.unregister_agent(AGENT).await), "NoAgent");
    register("/agent", "pin", none()).await.unwrap();
    register("/agent", "display", none()).await.unwrap();
    for path in ["/agent", "/other"] {
        assert_eq!(error_name(register(path, "pin", none()).await), "Busy");
    }
    manager.unregister_agent(AGENT).await.unwrap();
    assert_eq!(error_name(manager.unregister_agent(AGENT).await), "NoAgent");
    register("/agent", "pin", none()).await.unwrap();
    world.daemon.signal(rustix::process::Signal::TERM);
    assert!(matches!(agent.next().await, Told::Released));
    world.daemon.wait();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_as_checked_in() {
    let world = World::start();
    let (client, _watched) = serving(&world, []).await;
    let other = world.connect().await;
    let object = IntrospectableProxy::builder(&other)
        .destination(client.unique_name().unwrap())
        .path(AGENT)
        .build()
        .await
        .unwrap();
    let mut shown = xml::parse(&object.introspect().await.unwrap());
    shown.retain(|name, _| name.starts_with("org.privyseal1."));
    let (_, reference) = INTERFACES
        .iter()
        .find(|(name, _)| *name == "org.privyseal1.Agent")
        .unwrap();
    assert_eq!(shown, xml::parse(reference));
}

/// What a program says is no word of a person's: consent is asked for at the daemon's own prompt (design rule 18).
#[tokio::test(flavor = "multi_thread")]
async fn a_pin_by_an_agent_is_no_yes_to_a_use_of_a_key() {
    let person = Person::new("");
    let config = format!(
        "\n[pinentry]\nprogram = {:?}\n[consent]\nmode = \"each\"\n",
        person.program().display().to_string()
    );
    let world = World::with_token_and(&config);
    let (client, mut agent) = with_agent(&world, [Answer::Pin(PIN)]).await;
    set_display(&client).await;
    let (response, results) = sign(&client, interactive()).await;
    assert_eq!(response, 0, "{results:?}");
    agent.asked().await;
    let confirmed = || {
        person
            .asked()
            .lines()
            .filter(|line| *line == "CONFIRM")
            .count()
    };
    assert_eq!(
        (person.entries(), confirmed()),
        (0, 1),
        "{}",
        person.asked()
    );
}

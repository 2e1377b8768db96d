//! The deadline of an agent, which is too long for a test over the bus: daemon/tests/agents.rs has the rest.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use tokio::sync::mpsc;
use zbus::connection::Builder;
use zbus::{Guid, interface};

use super::*;
use crate::job::Jobs;

const OWNER: &str = ":1.7";

/// Never answers, and tells what is dismissed.
struct Silent(mpsc::UnboundedSender<String>);

#[interface(name = "org.privyseal1.Agent")]
impl Silent {
    async fn request_pin(
        &self,
        _token: OwnedObjectPath,
        _kind: String,
        _details: privyseal_proto::Dict,
    ) -> zbus::OwnedFd {
        std::future::pending().await
    }

    async fn dismiss(&self, cookie: String) {
        let _ = self.0.send(cookie);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_answers_is_dismissed_when_the_time_is_over() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (told, mut dismissed) = mpsc::unbounded_channel();
    let server = Builder::unix_stream(theirs)
        .server(Guid::generate())
        .p2p()
        .serve_at("/agent", Silent(told))
        .build();
    let client = Builder::unix_stream(ours).p2p().build();
    let (client, server) = tokio::join!(client, server);
    let _server = server.unwrap();
    let agents = Arc::new(Agents::new(Handle::current()));
    agents.serve_on(&client.unwrap());
    let path = zbus::ObjectPath::from_static_str_unchecked("/agent").into();
    agents.register(OWNER, path, Capability::Pin).unwrap();

    let asking = agents.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let running = Arc::new(Jobs::default())
            .begin(OWNER, "unlock", String::new(), None)
            .unwrap();
        let question = Question {
            token: &TokenId("00ff".into()),
            kind: Kind::User,
            tries_left: -1,
            last_error: "",
            description: "",
            lengths: (4, 8),
        };
        asking.request_pin_within(&running.job, &question, Duration::from_millis(100))
    });
    let failure = answer.await.unwrap().unwrap().unwrap_err();
    assert_eq!(failure.name, ErrorName::Timeout);
    let told = tokio::time::timeout(Duration::from_secs(30), dismissed.recv());
    assert_eq!(told.await.unwrap().unwrap(), "0");
}

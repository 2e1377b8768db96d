//! Starting a job and waiting for it: progress on long work, Ctrl-C cancels it in the daemon too.

use std::future::Future;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use privyseal_proto::proxy::JobProxy;
use privyseal_proto::{Dict, ErrorName, Response};
use zbus::{OwnedObjectPath, Variant};

use crate::bus::Bus;
use crate::error::{CommandError, Kind, Result};
use crate::files::Trouble;
use crate::signals::Signals;
use crate::ui::Ui;

/// One call of Job.Wait: less than what any D-Bus library gives up after.
const WAIT: u32 = 20_000;
/// Work shorter than this shows no bar.
const QUIET: u32 = 1_000;
/// Between two looks at the progress.
const LOOK: u32 = 200;
/// For the daemon to end a cancelled job.
const CANCEL: Duration = Duration::from_secs(2);

/// Makes the call that starts a job, and waits for its results.
pub async fn run(
    bus: &Bus,
    ui: &Ui,
    signals: &mut Signals,
    trouble: &mut Trouble,
    start: impl Future<Output = zbus::Result<OwnedObjectPath>>,
) -> Result<Dict> {
    // dropping the connection cancels what has not answered yet
    let path = tokio::select! {
        path = start => path?,
        error = signals.next() => return Err(error),
        error = trouble.next() => return Err(error),
    };
    let job = bus.job(path.clone()).await?;
    let error = tokio::select! {
        results = wait(bus, &job, &path, ui) => return results,
        error = signals.next() => error,
        error = trouble.next() => error,
    };
    // a second signal ends the waiting
    let cancel = async {
        let _ = job.cancel().await;
        let _ = job
            .wait(u32::try_from(CANCEL.as_millis()).unwrap_or(LOOK))
            .await;
    };
    tokio::select! {
        _ = tokio::time::timeout(CANCEL, cancel) => {}
        _ = signals.next() => {}
    }
    Err(error)
}

async fn wait(bus: &Bus, job: &JobProxy<'_>, path: &OwnedObjectPath, ui: &Ui) -> Result<Dict> {
    let mut bar = ui.shows_progress().then(Bar::new);
    let mut patience = if bar.is_some() { QUIET } else { WAIT };
    loop {
        let (response, results) = match job.wait(patience).await.map_err(CommandError::from) {
            Ok(answer) => answer,
            Err(error) if error.kind == Kind::Named(ErrorName::Timeout) => {
                let state = JobState::of(
                    &bus.properties(path.to_string(), "org.privyseal1.Job")
                        .await?,
                );
                if let Some(bar) = &mut bar {
                    patience = LOOK;
                    bar.show(&state);
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        return match Response::from_number(response) {
            Response::Ok => Ok(results),
            Response::Cancelled => Err(failure(&results, ErrorName::Cancelled, "cancelled")),
            Response::Failed => Err(failure(&results, ErrorName::Failed, "the job failed")),
        };
    }
}

/// Failed jobs tell why in their results: error, message, hint.
fn failure(results: &Dict, name: ErrorName, message: &str) -> CommandError {
    let text = |key: &str| {
        results
            .get(key)
            .and_then(|value| <&str>::try_from(value).ok())
            .filter(|text| !text.is_empty())
    };
    let name = text("error").and_then(ErrorName::parse).unwrap_or(name);
    let error = CommandError::named(name, text("message").unwrap_or(message));
    match text("hint") {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What a bar shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct JobState {
    state: String,
    description: String,
    done: u64,
    all: u64,
}

impl JobState {
    fn of(properties: &Dict) -> Self {
        let text = |name: &str| {
            let text = properties
                .get(name)
                .and_then(|value| <&str>::try_from(value).ok());
            text.unwrap_or_default().to_owned()
        };
        let progress = match properties.get("Progress").map(|value| &**value) {
            Some(Variant::Structure(progress)) => progress.fields(),
            _ => &[],
        };
        let (done, all) = match progress {
            [Variant::U64(done), Variant::U64(all)] => (*done, *all),
            _ => (0, 0),
        };
        JobState {
            state: text("State"),
            description: text("Description"),
            done,
            all,
        }
    }
}

/// The bar on stderr. While a person is asked it is gone: the prompt may be on the same terminal.
#[derive(Debug)]
struct Bar {
    bar: Option<ProgressBar>,
    began: Instant,
}

impl Bar {
    fn new() -> Self {
        Bar {
            bar: None,
            began: Instant::now(),
        }
    }

    fn show(&mut self, state: &JobState) {
        if state.state == "waiting-for-user" {
            self.clear();
            return;
        }
        let began = self.began;
        let bar = self.bar.get_or_insert_with(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_elapsed(began.elapsed())
        });
        let template = match (state.state.as_str(), state.all) {
            ("running", 0) => "{msg} {bytes} ({prefix})",
            ("running", _) => "{msg} {wide_bar} {bytes}/{total_bytes} ({prefix})",
            _ => "{msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let message = match state.state.as_str() {
            "queued" => "waiting for earlier work",
            "waiting-for-token" => "waiting for the token",
            _ => &state.description,
        };
        bar.set_message(crate::ui::clean(message));
        if state.all > 0 {
            bar.set_length(state.all);
        }
        bar.set_position(state.done);
        // the bar's own estimate starts with its first, already far position
        bar.set_prefix(format!(
            "{}/s",
            HumanBytes(rate(state.done, began.elapsed()))
        ));
        bar.tick();
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Bytes a second.
fn rate(done: u64, elapsed: Duration) -> u64 {
    let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    done.saturating_mul(1000).checked_div(elapsed).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict<const N: usize>(list: [(&str, Variant<'_>); N]) -> Dict {
        list.into_iter()
            .map(|(key, value)| (key.to_owned(), value.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn a_failed_job_says_why_in_its_results() {
        let error = failure(
            &dict([
                ("error", "org.privyseal1.Error.DecryptionFailed".into()),
                ("message", "cannot be decrypted".into()),
                ("hint", "".into()),
            ]),
            ErrorName::Failed,
            "the job failed",
        );
        assert_eq!(error.kind, Kind::Named(ErrorName::DecryptionFailed));
        assert_eq!(
            (error.exit(), error.message.as_str()),
            (1, "cannot be decrypted")
        );
        assert_eq!(error.hints, [ErrorName::DecryptionFailed.hint()]);
        assert_eq!(
            failure(&Dict::new(), ErrorName::Cancelled, "cancelled").exit(),
            5
        );
    }

    #[test]
    fn a_rate_is_bytes_a_second() {
        assert_eq!(rate(3 << 20, Duration::from_millis(1500)), 2 << 20);
        assert_eq!(rate(1, Duration::ZERO), 0);
    }

    #[test]
    fn a_job_tells_how_far_it_is() {
        let state = JobState::of(&dict([
            ("State", "running".into()),
            ("Description", "sign".into()),
            ("Progress", (3u64, 7u64).into()),
        ]));
        assert_eq!(
            (state.state.as_str(), state.done, state.all),
            ("running", 3, 7)
        );
        assert_eq!(JobState::of(&Dict::new()), JobState::default());
    }
}

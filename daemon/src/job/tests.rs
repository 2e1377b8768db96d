use super::*;

fn begin(jobs: &Arc<Jobs>, owner: &str, token: Option<&str>) -> Result<Running, Failure> {
    jobs.begin(owner, "sign", String::new(), token)
}

fn name(result: Result<Running, Failure>) -> ErrorName {
    result.err().unwrap().name
}

#[test]
fn the_limits_hold_at_and_one_past_them() {
    let jobs = Arc::new(Jobs::default());
    let mut running = Vec::new();
    for connection in 0..JOBS / JOBS_PER_CONNECTION {
        let owner = format!(":1.{connection}");
        for _ in 0..JOBS_PER_CONNECTION {
            running.push(begin(&jobs, &owner, None).unwrap());
        }
        assert_eq!(name(begin(&jobs, &owner, None)), ErrorName::Busy);
    }
    assert_eq!(name(begin(&jobs, ":1.999", None)), ErrorName::Busy);
    running.pop().unwrap().finish(Ok(Dict::new()));
    begin(&jobs, ":1.999", None).unwrap();
}

#[test]
fn a_handle_token_in_use_is_refused_and_free_after_release() {
    let jobs = Arc::new(Jobs::default());
    let first = begin(&jobs, ":1.1", Some("a_1")).unwrap();
    assert_eq!(first.job.path.as_str(), "/org/privyseal1/job/1_1/a_1");
    assert_eq!(
        name(begin(&jobs, ":1.1", Some("a_1"))),
        ErrorName::InvalidArgument
    );
    begin(&jobs, ":1.2", Some("a_1")).unwrap();
    let job = first.job.clone();
    first.finish(Ok(Dict::new()));
    assert_eq!(
        name(begin(&jobs, ":1.1", Some("a_1"))),
        ErrorName::InvalidArgument
    );
    assert!(jobs.forget(&job));
    assert!(!jobs.forget(&job));
    begin(&jobs, ":1.1", Some("a_1")).unwrap();
}

#[test]
fn a_job_whose_owner_left_is_not_known() {
    let jobs = Arc::new(Jobs::default());
    let running = begin(&jobs, ":1.1", None).unwrap();
    assert!(jobs.is_known(&running.job));
    jobs.depart(":1.1");
    assert!(!jobs.is_known(&running.job));
    assert_eq!(name(begin(&jobs, ":1.1", None)), ErrorName::Cancelled);
}

#[tokio::test]
async fn a_job_that_was_released_is_gone_and_one_that_ended_holds_no_descriptor() {
    let jobs = Arc::new(Jobs::default());
    let running = begin(&jobs, ":1.1", None).unwrap();
    let job = running.job.clone();
    let gone = job.gone();
    running.finish(Ok(Dict::new()));
    assert!(!job.control.has_descriptor());
    assert!(jobs.forget(&job));
    drop(job);
    gone.await;
}

#[test]
fn handle_tokens_have_1_to_64_letters_digits_or_underscores() {
    for (token, fits) in [
        ("", false),
        ("a", true),
        ("a-b", false),
        ("../x", false),
        ("é", false),
        (&"a".repeat(64), true),
        (&"a".repeat(65), false),
    ] {
        assert_eq!(check_handle_token(token).is_ok(), fits, "{token}");
    }
}

#[test]
fn a_connection_that_left_has_no_jobs_and_gets_none() {
    let jobs = Arc::new(Jobs::default());
    let running = begin(&jobs, ":1.1", None).unwrap();
    let gone = jobs.depart(":1.1");
    assert_eq!(gone.len(), 1);
    assert!(running.job.is_cancelled());
    assert_eq!(name(begin(&jobs, ":1.1", None)), ErrorName::Cancelled);
    let (outcome, surplus) = running.finish(Err(Failure::new(ErrorName::Failed, "broken pipe")));
    assert_eq!(outcome.response, Response::Cancelled);
    assert!(surplus.is_none());
}

#[test]
fn results_past_the_limit_make_the_oldest_go() {
    let jobs = Arc::new(Jobs::default());
    for n in 0..=RESULTS_PER_CONNECTION {
        let running = begin(&jobs, ":1.1", Some(&format!("n{n}"))).unwrap();
        let (_, surplus) = running.finish(Ok(Dict::new()));
        match n == RESULTS_PER_CONNECTION {
            false => assert!(surplus.is_none()),
            true => assert!(surplus.unwrap().path.as_str().ends_with("/n0")),
        }
    }
}

#[test]
fn a_job_that_is_given_up_before_it_began_leaves_nothing() {
    let jobs = Arc::new(Jobs::default());
    drop(begin(&jobs, ":1.1", Some("a")).unwrap());
    begin(&jobs, ":1.1", Some("a")).unwrap();
    assert_eq!(lock(&jobs.table).at_work.len(), 0);
}

//! What one decision costs, step by step: reading an agent's 40 KB request, asking the skills that ship with the gateway,
//! writing the body that goes upstream.
//!
//! Steps are timed in rounds, one after another within each round, and shown as medians beside ratios to two yardsticks of
//! the same run and body: copying it, and parsing it into a tree. Only the ratios can be compared between machines.
//! `cargo bench -p pointsman --bench decision`

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that fails stops, and its result is printed"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pointsman::capability::models::Models;
use pointsman::capability::residency::{Residency, Standing, Wish};
use pointsman::capability::{Code, Error};
use pointsman::id::{ModelId, RequestId, SessionKey};
use pointsman::model::{Costs, Directory, Kind, Model};
use pointsman::skill::{Bundled, Config, Delegates, Generation, Limits, Skills};
use pointsman::turn::{LAST_ANSWER_MAX, Protocol, Turn, USER_TEXT_MAX, excerpt};
use pointsman::wire::chat::Request;
use pointsman::wire::compose;
use tokio::runtime::Runtime;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds; each gives one figure for every step.
const ROUNDS: usize = 21;

/// How long a step is repeated within a round.
const PATIENCE: Duration = Duration::from_millis(20);

/// One thing to be timed.
struct Step<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    /// Microseconds a run, one figure a round.
    took: Vec<f64>,
}

fn main() {
    let body = Bytes::from(pointsman_bench::request(true));
    let request = Request::read(body.clone()).expect("the request is a chat request");
    let escapes = memchr::memchr_iter(b'\\', &body).count();
    println!("request: {} bytes, {escapes} escapes, {} tools", body.len(), request.tools.len());
    let runtime = Runtime::new().expect("a runtime");
    let (warm, fresh) =
        (skills(&runtime, Limits::default()), skills(&runtime, Limits { reuse_max: 1, ..Limits::default() }));
    let agent = turn(&request);
    let long = Turn { user_text: pointsman_bench::prose(4096), tools: agent.tools.clone(), ..agent.clone() };
    let short =
        Turn { user_text: "Thanks, that works. Go on with the next one.".to_owned(), ..agent.clone() };
    let decide = |skills: &Arc<Generation>, turn: &Turn| {
        let outcome = runtime.block_on(skills.decide(turn.clone()));
        assert!(outcome.decision.is_none(), "nothing is asked of the skills: {outcome:?}");
    };
    let mut steps = vec![
        Step::new("copy of the body", || drop(black_box(body.to_vec()))),
        Step::new("parse into a tree", || {
            drop(black_box(serde_json::from_slice::<serde_json::Value>(&body)))
        }),
        Step::new("read", || drop(black_box(Request::read(body.clone())))),
        Step::new("turn", || drop(black_box(turn(&request)))),
        Step::new("decide, warm, short question", || decide(&warm, &short)),
        Step::new("decide, warm, agent's question", || decide(&warm, &agent)),
        Step::new("decide, warm, 4 KiB of prose", || decide(&warm, &long)),
        Step::new("decide, new instance", || decide(&fresh, &agent)),
        Step::new("forward", || drop(black_box(compose::forward(&request, "acme/otter-8b:2", |_| true)))),
    ];
    for _ in 0..ROUNDS {
        steps.iter_mut().for_each(Step::round);
    }
    print(&mut steps);
}

fn print(steps: &mut [Step<'_>]) {
    let medians: Vec<f64> = steps.iter_mut().map(Step::median).collect();
    let (copy, parse) = (medians.first().copied().unwrap_or(1.0), medians.get(1).copied().unwrap_or(1.0));
    println!("{:32} {:>10} {:>9} {:>9}", "step", "µs", "× copy", "× parse");
    for (step, median) in steps.iter().zip(&medians) {
        println!("{:32} {median:>10.2} {:>9.2} {:>9.3}", step.name, median / copy, median / parse);
    }
}

// === impl Step ===

impl<'a> Step<'a> {
    fn new(name: &'static str, run: impl FnMut() + 'a) -> Self {
        Self { name, run: Box::new(run), took: Vec::new() }
    }

    /// Runs until the patience is over. The clock is read once for ever more runs, so that it costs nothing.
    fn round(&mut self) {
        let (begun, mut runs, mut batch) = (Instant::now(), 0_u32, 1_u32);
        while begun.elapsed() < PATIENCE {
            (0..batch).for_each(|_| (self.run)());
            runs += batch;
            batch = batch.saturating_mul(2).min(1024);
        }
        self.took.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(runs));
    }

    fn median(&mut self) -> f64 {
        self.took.sort_by(f64::total_cmp);
        self.took.get(self.took.len() / 2).copied().unwrap_or_default()
    }
}

// === The skills and what they see ===

fn skills(runtime: &Runtime, limits: Limits) -> Arc<Generation> {
    let bundled: Vec<_> = pointsman_skills::SKILLS
        .iter()
        .map(|skill| Bundled { name: skill.name, wasm: Bytes::from_static(skill.wasm) })
        .collect();
    let delegates = Delegates { models: Arc::new(House), residency: Arc::new(House), ..Delegates::nowhere() };
    let config = Config { limits, ..Config::default() };
    let (skills, housekeeping) =
        runtime.block_on(Skills::start(config, delegates, &bundled)).expect("the skills start");
    runtime.spawn(housekeeping.run());
    skills.generation()
}

/// The turn as the exchange makes it.
fn turn(request: &Request) -> Turn {
    let (user_text, user_text_truncated) = excerpt(&request.user_text, USER_TEXT_MAX);
    Turn {
        request_id: RequestId::new("r1"),
        session: SessionKey::new("h-0123456789abcdef"),
        agent: Some("bench".to_owned()),
        client: None,
        protocol: Protocol::ChatCompletions,
        streaming: request.stream,
        requested_model: request.model.clone(),
        current_model: format!("lmstudio/{}", request.model),
        pinned: false,
        user_text,
        user_text_truncated,
        last_answer: excerpt(&request.last_answer(), LAST_ANSWER_MAX).0,
        media: request.turn_media().map(|part| part.kind).collect(),
        history_media: request.media_kinds(),
        tools: request.tools.clone(),
        message_count: u32::try_from(request.message_count()).unwrap_or(u32::MAX),
        estimated_tokens: request.estimated_tokens(),
        max_output_tokens: request.max_output_tokens,
    }
}

/// One model, and nobody to load another.
struct House;

impl Models for House {
    fn directory(&self) -> Arc<Directory> {
        let model = Model {
            id: ModelId::of("lmstudio", pointsman_bench::MODEL),
            display_name: "Otter".to_owned(),
            kind: Kind::Language,
            vision: false,
            tool_use: true,
            reasoning: false,
            local: true,
            max_context: Some(32768),
            size_bytes: Some(5_000_000_000),
            instances: Vec::new(),
            load_seconds: None,
            costs: Costs::default(),
        };
        Arc::new(Directory::new(vec![model], Vec::new()))
    }
}

impl Residency for House {
    fn wish(&self, _: Wish) -> BoxFuture<'static, Result<Standing, Error>> {
        Box::pin(async { Err(Error::new(Code::Unavailable, "nothing is loaded here")) })
    }
}

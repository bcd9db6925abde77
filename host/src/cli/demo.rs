//! `pointsman demo`: one conversation that needs a specialist in its middle, then an upgrade of a policy while an answer
//! runs, then a tool call that another model writes, played through real HTTP to a real gateway in front of an emulated LM Studio or a llama-server, with a timeline and
//! a judgement at its end.
//!
//! Everything shown of models is from the server's own log, events and list, not from the gateway that did it. Needs
//! nothing but the engine that is asked for, leaves nothing. Bounded by [`SWAP_TIMEOUT`] and by what each answer takes.

mod engine;
pub(super) mod picture;
mod report;
mod routing;
mod scene;
pub(super) mod stage;
mod swap;
pub(super) mod talk;
mod timeline;
mod told;
mod upgrade;

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tokio::time::Instant;

use super::Success;
use super::args;
use super::output::{FAINT, Output, STRONG, complain, paint};
use crate::cli::output::Format;
use picture::Picture;
use report::Report;
use routing::Routing;
use scene::Scene;
use stage::Loaded;
use swap::{Cast, Swap};
use talk::{Answer, Conversation, Speaking};
use timeline::Timeline;
use told::What;
use upgrade::Upgrade;

/// What is asked.
const FIRST: &str = "What does a switchman at a railway do?";
const MEANWHILE: &str = "count to 60";
const LAST: &str = "Thank you. And what is such a sign made of?";

/// How long the swap there and back may take; it takes about five seconds.
const SWAP_TIMEOUT: Duration = Duration::from_secs(60);

/// One of the things that happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A client asked.
    Request,
    /// A skill heard what is wanted.
    Intent,
    /// Running answers of the model in the way were finished.
    Drain,
    /// It was unloaded.
    Unload,
    /// The specialist was loaded.
    Load,
    /// A model answered.
    Answer,
    /// The first model was put back.
    Restore,
}

/// What was heard, and when: all that the server does not know.
struct Played {
    first: Exchange,
    translation: Exchange,
    last: Exchange,
    meanwhile: Answer,
    /// Of the first act; what happens in memory later belongs to others.
    swap: Swap,
    picture: Option<Picture>,
    before: Vec<Loaded>,
    after: Vec<Loaded>,
    upgrade: Upgrade,
    routing: Routing,
}

/// One question and its answer, in milliseconds since the start.
struct Exchange {
    asked_ms: u64,
    answered_ms: u64,
    answer: Answer,
}

/// Plays it on the engine that is asked for. Naming a llama-server is asking for it.
pub(super) async fn play_on(args: &args::Demo, output: &mut Output) -> anyhow::Result<Success> {
    let program = args.llama_server.as_deref();
    let usual = program.map_or(args::Engine::Lmstudio, |_| args::Engine::LlamaServer);
    match args.engine.unwrap_or(usual) {
        args::Engine::Lmstudio => run(output).await,
        args::Engine::LlamaServer => {
            let started = Instant::now();
            let scene = Scene::real(program).await?;
            show(scene, started, output).await
        }
    }
}

/// Plays it on the emulated LM Studio.
pub(super) async fn run(output: &mut Output) -> anyhow::Result<Success> {
    let started = Instant::now();
    let scene = Scene::emulated().await?;
    show(scene, started, output).await
}

async fn show(scene: Scene, started: Instant, output: &mut Output) -> anyhow::Result<Success> {
    if output.format() == Format::Text {
        output.line(paint(STRONG, scene.words().title));
    }
    let mut timeline = Timeline::new(output, started);
    let played = play(&scene, &mut timeline, started).await;
    let output = timeline.close();
    let told = match played {
        Ok(played) => Ok(Report::new(&played, &scene)),
        Err(error) => Err(error),
    };
    scene.close().await;
    let report = told?;
    output.value(&report, || report.lines());
    report.failures().iter().for_each(complain);
    Ok(if report.ok { Success::Yes } else { Success::No })
}

async fn play(scene: &Scene, timeline: &mut Timeline<'_>, started: Instant) -> anyhow::Result<Played> {
    let since = |moment: Instant| crate::telemetry::millis(moment - started);
    let (picture, words, before) = (scene.picture()?, scene.words(), scene.loaded().await?);
    let url = scene.gateway().url();
    let mut talk = Conversation::new(scene.http(), &url, "demo", words.resident);
    timeline.say("");
    timeline.say(&format!("{} “{FIRST}”", paint(FAINT, "user")));
    let first = ordinary(&mut talk, FIRST, timeline, &since).await?;

    timeline.say(&paint(FAINT, "another conversation has a long answer running on the same model"));
    let mut other = Conversation::new(scene.http(), &url, "demo-other", words.resident);
    let running = other.begin(MEANWHILE, None).await?;
    let (cast, events) = (scene.cast(), scene.events().await?);
    timeline.say("");
    timeline.say(&format!("{} “{}”{}", paint(FAINT, "user"), words.task, shown(picture.as_ref())));
    let asked_ms = since(Instant::now());
    let (answer, answered_ms, meanwhile) = tokio::time::timeout(SWAP_TIMEOUT, async {
        let translated = translate(scene, &mut talk, picture.as_ref(), &cast, &since);
        let meanwhile = async {
            let answer = Speaking::rest(running).await?;
            scene.heard(since(Instant::now()), What::Drained);
            anyhow::Ok(answer)
        };
        let listened = scene.listen(events, &cast, started);
        let ((answer, answered_ms), meanwhile, (), ()) =
            tokio::try_join!(translated, meanwhile, listened, follow(scene, &cast, timeline))?;
        anyhow::Ok((answer, answered_ms, meanwhile))
    })
    .await
    .with_context(|| format!("the swap was not over within {} s", SWAP_TIMEOUT.as_secs()))??;
    timeline.say(&format!("{} {}", paint(FAINT, "model"), answer.text));
    let translation = Exchange { asked_ms, answered_ms, answer };

    timeline.say(&format!("\n{} “{LAST}” {}", paint(FAINT, "user"), paint(FAINT, "+ all that was said")));
    let last = ordinary(&mut talk, LAST, timeline, &since).await?;
    let swap = scene.swap(&cast);
    let upgrade = Upgrade::play(scene, timeline).await?;
    let routing = Routing::play(scene, timeline).await?;
    let after = scene.loaded().await?;
    Ok(Played { first, translation, last, meanwhile, swap, picture, before, after, upgrade, routing })
}

/// What is shown of a picture.
fn shown(picture: Option<&Picture>) -> String {
    let sign = |picture: &Picture| {
        let (words, digest) = (picture::WORDS.join(" "), &picture.digest);
        let sign = paint(FAINT, format_args!("+ a picture that says {words}, sha256 {digest}…"));
        format!(" {sign}")
    };
    picture.map(sign).unwrap_or_default()
}

async fn ordinary(
    talk: &mut Conversation,
    text: &str,
    timeline: &mut Timeline<'_>,
    since: &impl Fn(Instant) -> u64,
) -> anyhow::Result<Exchange> {
    let asked_ms = since(Instant::now());
    let phase = timeline.begin(Kind::Answer, talk.model(), "answers");
    let answer = talk.ask(text, None).await?;
    timeline.end(phase, &answer.text);
    Ok(Exchange { asked_ms, answered_ms: since(Instant::now()), answer })
}

/// Asks for the translation. An answer without a swap ends the demonstration at once, with what the gateway says of it.
async fn translate(
    scene: &Scene,
    talk: &mut Conversation,
    picture: Option<&Picture>,
    cast: &Cast,
    since: &impl Fn(Instant) -> u64,
) -> anyhow::Result<(Answer, u64)> {
    let speaking = talk.begin(scene.words().task, picture).await?;
    scene.heard(since(Instant::now()), What::Speaks);
    let answer = speaking.rest().await?;
    talk.remember(&answer);
    let answered_ms = since(Instant::now());
    scene.heard(answered_ms, What::Answered);
    if !cast.specialists.contains(&answer.model) {
        let record = scene.gateway().gateway().ring.find(Some(&answer.request));
        let why = record.map_or_else(|| "it does not say why".to_owned(), |record| record.headline());
        bail!("the gateway answered without loading a specialist: {why}");
    }
    Ok((answer, answered_ms))
}

/// Whose phase it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Resident,
    Specialist,
}

/// A phase of the swap: its model, what it does meanwhile, and when it is over.
type Watched = (Kind, Whose, &'static str, fn(&Swap) -> bool);

const PHASES: &[Watched] = &[
    (Kind::Drain, Whose::Resident, "finishes the answer that is running", |swap| swap.unload_began.is_some()),
    (Kind::Unload, Whose::Resident, "leaves memory", |swap| swap.unload.is_some()),
    (Kind::Load, Whose::Specialist, "comes into memory", |swap| swap.load.is_some()),
    (Kind::Answer, Whose::Specialist, "translates", |swap| swap.answer.is_some()),
    (Kind::Restore, Whose::Resident, "comes back with its settings", |swap| swap.restore.is_some()),
];

/// Shows each phase of the swap while it lasts, as the server tells it.
async fn follow(scene: &Scene, cast: &Cast, timeline: &mut Timeline<'_>) -> anyhow::Result<()> {
    for (kind, whose, doing, is_over) in PHASES {
        let specialist = scene.swap(cast).specialist;
        let model = match whose {
            Whose::Resident => cast.resident.as_str(),
            Whose::Specialist => specialist.as_deref().unwrap_or("the specialist"),
        };
        let phase = timeline.begin(*kind, model, doing);
        scene.until(cast, *is_over).await;
        timeline.end(phase, doing);
    }
    Ok(())
}

// === impl Kind ===

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Intent => "intent",
            Self::Drain => "drain",
            Self::Unload => "unload",
            Self::Load => "load",
            Self::Answer => "answer",
            Self::Restore => "restore",
        }
    }
}

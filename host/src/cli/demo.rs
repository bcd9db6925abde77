//! `pointsman demo`: one conversation that needs a specialist in its middle, played through real HTTP to a real gateway in
//! front of an emulated LM Studio, with a timeline and a judgement at its end.
//!
//! Everything shown of models is from LM Studio's own log and list, not from the gateway that did it. Needs nothing,
//! leaves nothing. Bounded by [`SWAP_TIMEOUT`] and by what each answer takes.

pub(super) mod picture;
mod report;
pub(super) mod stage;
mod swap;
pub(super) mod talk;
mod timeline;

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tokio::time::Instant;

use super::Success;
use super::output::{FAINT, Output, STRONG, complain, paint};
use crate::cli::output::Format;
use picture::Picture;
use report::Report;
use stage::{Loaded, Pace, RESIDENT, Stage};
use swap::{Cast, Swap};
use talk::{Answer, Conversation, Speaking};
use timeline::Timeline;

/// What is asked.
const FIRST: &str = "What does a switchman at a railway do?";
const MEANWHILE: &str = "count to 60";
const TRANSLATE: &str = "Translate the text in this image into English";
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

/// What was heard, and when: all that LM Studio's log does not know.
struct Played {
    first: Exchange,
    translation: Exchange,
    last: Exchange,
    meanwhile: Answer,
    cast: Cast,
    picture: Picture,
    before: Vec<Loaded>,
    after: Vec<Loaded>,
}

/// One question and its answer, in milliseconds since the start.
struct Exchange {
    asked_ms: u64,
    answered_ms: u64,
    answer: Answer,
}

/// Plays it.
pub(super) async fn run(output: &mut Output) -> anyhow::Result<Success> {
    if output.format() == Format::Text {
        output.line(paint(
            STRONG,
            "Pointsman: a specialist swap, played on an emulated LM Studio with memory for one model",
        ));
    }
    let started = Instant::now();
    let stage = Stage::open(Pace::ToBeSeen).await?;
    let mut timeline = Timeline::new(output, started);
    let played = play(&stage, &mut timeline, started).await;
    let output = timeline.close();
    let told = match played {
        Ok(played) => Ok(Report::new(&played, &stage)),
        Err(error) => Err(error),
    };
    stage.close().await;
    let report = told?;
    output.value(&report, || report.lines());
    report.failures().iter().for_each(complain);
    Ok(if report.ok { Success::Yes } else { Success::No })
}

async fn play(stage: &Stage, timeline: &mut Timeline<'_>, started: Instant) -> anyhow::Result<Played> {
    let since = |moment: Instant| crate::telemetry::millis(moment - started);
    let picture = picture::draw()?;
    let before = stage.loaded().await?;
    let mut talk = Conversation::new(stage.http.clone(), &stage.gateway.url(), "demo", RESIDENT);
    timeline.say("");
    timeline.say(&format!("{} “{FIRST}”", paint(FAINT, "user")));
    let first = ordinary(&mut talk, FIRST, timeline, &since).await?;

    timeline.say(&paint(FAINT, "another conversation has a long answer running on the same model"));
    let mut other = Conversation::new(stage.http.clone(), &stage.gateway.url(), "demo-other", RESIDENT);
    let running = other.begin(MEANWHILE, None).await?;
    let cast = cast(stage);
    let (words, digest) = (picture::WORDS.join(" "), &picture.digest);
    let sign = paint(FAINT, format_args!("+ a picture that says {words}, sha256 {digest}…"));
    timeline.say("");
    timeline.say(&format!("{} “{TRANSLATE}” {sign}", paint(FAINT, "user")));
    let asked_ms = since(Instant::now());
    let (answer, answered_ms, meanwhile) = tokio::time::timeout(SWAP_TIMEOUT, async {
        let translated = translate(stage, &mut talk, &picture, &cast, &since);
        let ((answer, answered_ms), meanwhile, ()) =
            tokio::try_join!(translated, Speaking::rest(running), follow(stage, &cast, timeline))?;
        anyhow::Ok((answer, answered_ms, meanwhile))
    })
    .await
    .with_context(|| format!("the swap was not over within {} s", SWAP_TIMEOUT.as_secs()))??;
    timeline.say(&format!("{} {}", paint(FAINT, "model"), answer.text));
    let translation = Exchange { asked_ms, answered_ms, answer };

    timeline.say(&format!(
        "\n{} “{LAST}” {}",
        paint(FAINT, "user"),
        paint(FAINT, "+ all that was said, picture included")
    ));
    let last = ordinary(&mut talk, LAST, timeline, &since).await?;
    let after = stage.loaded().await?;
    Ok(Played { first, translation, last, meanwhile, cast, picture, before, after })
}

async fn ordinary(
    talk: &mut Conversation,
    text: &str,
    timeline: &mut Timeline<'_>,
    since: &impl Fn(Instant) -> u64,
) -> anyhow::Result<Exchange> {
    let asked_ms = since(Instant::now());
    let phase = timeline.begin(Kind::Answer, RESIDENT, "answers");
    let answer = talk.ask(text, None).await?;
    timeline.end(phase, &answer.text);
    Ok(Exchange { asked_ms, answered_ms: since(Instant::now()), answer })
}

/// The last entry of LM Studio's log, from which on the swap is looked for.
fn cast(stage: &Stage) -> Cast {
    let since = stage.lmstudio.log().last().map_or(0, |entry| entry.sequence);
    Cast { resident: RESIDENT.to_owned(), specialists: Stage::specialists(), since }
}

/// Asks for the translation. An answer without a swap ends the demonstration at once, with what the gateway says of it.
async fn translate(
    stage: &Stage,
    talk: &mut Conversation,
    picture: &Picture,
    cast: &Cast,
    since: &impl Fn(Instant) -> u64,
) -> anyhow::Result<(Answer, u64)> {
    let answer = talk.ask(TRANSLATE, Some(picture)).await?;
    let answered_ms = since(Instant::now());
    let swap = Swap::read(&stage.lmstudio.log(), cast);
    if swap.load.is_none() {
        let record = stage.gateway.gateway().ring.find(Some(&answer.request));
        let why = record.map_or_else(|| "it does not say why".to_owned(), |record| record.headline());
        bail!("the gateway answered without loading a specialist: {why}");
    }
    Ok((answer, answered_ms))
}

/// A phase of the swap: its model, what it does meanwhile, and when it is over.
type Watched = (Kind, &'static str, &'static str, fn(&Swap) -> bool);

const PHASES: &[Watched] = &[
    (Kind::Drain, RESIDENT, "finishes the answer that is running", |swap| swap.unload_began.is_some()),
    (Kind::Unload, RESIDENT, "leaves memory", |swap| swap.unload.is_some()),
    (Kind::Load, "the specialist", "comes into memory", |swap| swap.load.is_some()),
    (Kind::Answer, "the specialist", "translates", |swap| swap.answer.is_some()),
    (Kind::Restore, RESIDENT, "comes back with its settings", |swap| swap.restore.is_some()),
];

/// Shows each phase of the swap while it lasts, by LM Studio's log.
async fn follow(stage: &Stage, cast: &Cast, timeline: &mut Timeline<'_>) -> anyhow::Result<()> {
    for (kind, model, doing, is_over) in PHASES {
        let (model, is_over) = (*model, *is_over);
        let shown = Swap::read(&stage.lmstudio.log(), cast).specialist.filter(|_| model != RESIDENT);
        let phase = timeline.begin(*kind, shown.as_deref().unwrap_or(model), doing);
        stage.lmstudio.wait_for(|entries| is_over(&Swap::read(entries, cast))).await;
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

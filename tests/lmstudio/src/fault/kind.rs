//! Everything that can go wrong, each with the words for it and the place in a request's life where it is looked for.
//!
//! What each of them does is done where it belongs, not here.

use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Any route: an HTML page with status 500.
    Html500,
    /// Any route: this answer.
    Answer {
        /// HTTP status, 200 to 599.
        status: u16,
        /// The body, sent as JSON's media type whatever it is.
        body: String,
    },
    /// Any route: the connection is reset before a byte of the answer.
    Reset,
    /// Any route: 200 with a string error.
    StringError {
        /// What it says.
        message: String,
    },
    /// Any route: 401, as if the token were missing.
    Unauthorized,
    /// Any route: the connection is reset before a byte of the answer, where it has served a request before. So a
    /// client meets a pooled connection whose keep-alive time was over.
    ResetReused,
    /// Any route: nothing at all until released, then the ordinary answer.
    Hang,
    /// The native list: `loaded_instances` stays as it was when the fault was armed.
    ListLags,
    /// A load: refused for want of memory.
    Guardrail,
    /// A load: the engine dies at the end of it.
    LoadCrash,
    /// A load: takes so much longer.
    SlowLoad {
        /// How much.
        seconds: f64,
    },
    /// A load: does not end until released.
    HangLoad,
    /// A download: breaks after so many bytes.
    DownloadFailure {
        /// Bytes that still arrive.
        #[serde(default)]
        after_bytes: u64,
    },
    /// A download: pauses after so many bytes, until released.
    DownloadPause {
        /// Bytes that still arrive before.
        #[serde(default)]
        after_bytes: u64,
    },
    /// A generation: the model dies after so many chunks, and its instance with it.
    Crash {
        /// Chunks that still come.
        #[serde(default)]
        after_chunks: u32,
    },
    /// A streamed generation: ends after so many chunks without a finish reason and without `[DONE]`.
    CutStream {
        /// Chunks that still come.
        #[serde(default)]
        after_chunks: u32,
        /// How it ends.
        #[serde(default)]
        ending: Ending,
    },
    /// A generation: an error event after so many chunks. Not streamed: 400 with that text.
    StreamError {
        /// Chunks that still come.
        #[serde(default)]
        after_chunks: u32,
        /// What it says.
        message: String,
    },
    /// A generation: nothing more after so many chunks, until released.
    Stall {
        /// Chunks that still come.
        #[serde(default)]
        after_chunks: u32,
    },
    /// A generation: tool calls have an empty id.
    EmptyToolCallId,
    /// A generation: the answer names this model instead of the one that served.
    WrongModel {
        /// What it names.
        model: String,
    },
}

/// How a cut stream ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// As if it were whole.
    #[default]
    Clean,
    /// In the middle of the transfer coding.
    Abrupt,
}

/// Where in a request's life a kind of fault is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Front,
    Reused,
    List,
    Load,
    Download,
    Generation,
}

// === impl Kind ===

impl Kind {
    /// The word for it, as in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Html500 => "html500",
            Self::Answer { .. } => "answer",
            Self::Reset => "reset",
            Self::StringError { .. } => "string-error",
            Self::Unauthorized => "unauthorized",
            Self::ResetReused => "reset-reused",
            Self::Hang => "hang",
            Self::ListLags => "list-lags",
            Self::Guardrail => "guardrail",
            Self::LoadCrash => "load-crash",
            Self::SlowLoad { .. } => "slow-load",
            Self::HangLoad => "hang-load",
            Self::DownloadFailure { .. } => "download-failure",
            Self::DownloadPause { .. } => "download-pause",
            Self::Crash { .. } => "crash",
            Self::CutStream { .. } => "cut-stream",
            Self::StreamError { .. } => "stream-error",
            Self::Stall { .. } => "stall",
            Self::EmptyToolCallId => "empty-tool-call-id",
            Self::WrongModel { .. } => "wrong-model",
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Html500
            | Self::Answer { .. }
            | Self::Reset
            | Self::StringError { .. }
            | Self::Unauthorized
            | Self::Hang => Stage::Front,
            Self::ResetReused => Stage::Reused,
            Self::DownloadFailure { .. } | Self::DownloadPause { .. } => Stage::Download,
            Self::ListLags => Stage::List,
            Self::Guardrail | Self::LoadCrash | Self::SlowLoad { .. } | Self::HangLoad => Stage::Load,
            Self::Crash { .. }
            | Self::CutStream { .. }
            | Self::StreamError { .. }
            | Self::Stall { .. }
            | Self::EmptyToolCallId
            | Self::WrongModel { .. } => Stage::Generation,
        }
    }

    /// After how many chunks it acts on an answer that is being sent; none where it acts otherwise.
    pub(crate) fn bites(&self) -> Option<u32> {
        match self {
            Self::Crash { after_chunks }
            | Self::CutStream { after_chunks, .. }
            | Self::StreamError { after_chunks, .. }
            | Self::Stall { after_chunks } => Some(*after_chunks),
            _ => None,
        }
    }
}

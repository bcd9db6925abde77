//! `models`: the language models, by provider, a page at a time.
//!
//! Pure: from a snapshot of the models to an answer. A page ends at the configured number of models, or before the answer
//! would grow too long, so that no model is ever left out. What is in memory stands first.

use std::collections::BTreeSet;

use pointsman_sdk::{Instance, Model};

use crate::command::{Name, Prefix};
use crate::markdown::{ANSWER_BYTES_MAX, code, count};

/// Bytes of a page's models; the rest of an answer is for what is said around them.
const PAGE_BYTES_MAX: usize = ANSWER_BYTES_MAX - (1 << 10);

/// Bytes of the line before a provider's models, besides its name.
const GROUP_BYTES: usize = 32;

/// Instances of a model that are described one by one.
const INSTANCES_MAX: usize = 4;

/// Providers that are named to someone who named none of them.
const PROVIDERS_MAX: usize = 16;

/// What there is to list.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    /// All models, of any kind.
    pub(crate) models: &'a [Model],
    /// The id of the one this conversation uses.
    pub(crate) current: &'a str,
    /// Models on a page.
    pub(crate) page_size: usize,
    /// How commands are written.
    pub(crate) prefix: &'a Prefix<'a>,
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    provider: Option<&'a str>,
    /// Counted from 1.
    page: usize,
}

/// A model's line, and whose it is.
struct Line<'a> {
    provider: &'a str,
    text: String,
}

/// It answers in a conversation.
pub(crate) fn converses(model: &Model) -> bool {
    model.kind == "language"
}

// === impl Listing ===

impl Listing<'_> {
    /// The answer to `models` with these arguments.
    pub(crate) fn answer(&self, arguments: &[&str]) -> String {
        let Some(wanted) = self.wanted(arguments) else { return self.prefix.usage(Name::Models) };
        if let Some(provider) = wanted.provider
            && !self.has_provider(provider)
        {
            return self.unknown_provider(provider);
        }
        let lines = self.lines(wanted.provider);
        let pages = pages(&lines, self.page_size);
        match (pages.get(wanted.page - 1), wanted.provider) {
            (Some(page), _) => self.page(&wanted, &lines, page, pages.len()),
            (None, Some(provider)) if pages.is_empty() => {
                format!("{} has no language models.", code(provider))
            }
            (None, _) if pages.is_empty() => none_at_all(),
            (None, _) => self.beyond(&wanted, lines.len(), pages.len()),
        }
    }

    /// A provider, a page, both or neither; none where it is something else. A provider may be called `2`.
    fn wanted<'w>(&self, arguments: &[&'w str]) -> Option<Wanted<'w>> {
        match *arguments {
            [] => Some(Wanted { provider: None, page: 1 }),
            [word] if self.has_provider(word) || !is_number(word) => {
                Some(Wanted { provider: Some(word), page: 1 })
            }
            [page] => Some(Wanted { provider: None, page: page_number(page)? }),
            [provider, page] => Some(Wanted { provider: Some(provider), page: page_number(page)? }),
            _ => None,
        }
    }

    fn has_provider(&self, name: &str) -> bool {
        self.models.iter().any(|model| model.provider.eq_ignore_ascii_case(name))
    }

    fn unknown_provider(&self, name: &str) -> String {
        let mut known: Vec<_> = self.models.iter().map(|model| model.provider.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        if known.is_empty() {
            return none_at_all();
        }
        let more = known.len().saturating_sub(PROVIDERS_MAX);
        let mut names: Vec<_> = known.into_iter().take(PROVIDERS_MAX).map(code).collect();
        if more > 0 {
            names.push(format!("{more} more"));
        }
        format!("No provider {}. There are: {}.", code(name), names.join(", "))
    }

    /// The language models' lines: providers on the user's own machines first, then by name; in them, what is in memory.
    fn lines(&self, provider: Option<&str>) -> Vec<Line<'_>> {
        let asked = |model: &&Model| provider.is_none_or(|name| model.provider.eq_ignore_ascii_case(name));
        let mut models: Vec<_> = self.models.iter().filter(|it| converses(it)).filter(asked).collect();
        let own: BTreeSet<_> = models.iter().filter(|it| it.local).map(|it| it.provider.as_str()).collect();
        models.sort_by_cached_key(|model| {
            let provider = model.provider.as_str();
            (!own.contains(provider), provider, model.instances.is_empty(), model.key.to_lowercase())
        });
        models.into_iter().map(|model| self.line(model)).collect()
    }

    fn line<'m>(&self, model: &'m Model) -> Line<'m> {
        let mut marks = memory(model);
        if model.id.eq_ignore_ascii_case(self.current) {
            marks.push("**this conversation's model**".to_owned());
        }
        let colon = if marks.is_empty() { "" } else { ": " };
        let text = format!("- {}{colon}{}", code(&model.id), marks.join("; "));
        Line { provider: &model.provider, text }
    }

    fn page(&self, wanted: &Wanted<'_>, lines: &[Line<'_>], page: &[Line<'_>], pages: usize) -> String {
        let mut answer = self.heading(lines.len());
        let mut provider = None;
        for line in page {
            if provider != Some(line.provider) {
                let models = lines.iter().filter(|it| it.provider == line.provider).count();
                answer.push_str(&format!("\n\n{}, {}:\n", code(line.provider), count(models, "model")));
                provider = Some(line.provider);
            }
            answer.push('\n');
            answer.push_str(&line.text);
        }
        if pages > 1 {
            answer.push_str(&format!("\n\nPage {} of {pages}.", wanted.page));
        }
        if wanted.page < pages {
            answer.push_str(&format!(" Next: {}", self.prefix.write(&wanted.at(wanted.page + 1))));
        }
        answer
    }

    fn heading(&self, models: usize) -> String {
        let models = count(models, "language model");
        match self.current {
            "" => format!("{models}."),
            current => format!("{models}. This conversation uses {}.", code(current)),
        }
    }

    fn beyond(&self, wanted: &Wanted<'_>, models: usize, pages: usize) -> String {
        let last = self.prefix.write(&wanted.at(pages));
        let (models, pages) = (count(models, "language model"), count(pages, "page"));
        format!("There is no page {}: {models} fill {pages}. The last: {last}", wanted.page)
    }
}

// === impl Wanted ===

impl Wanted<'_> {
    /// The command for another page of the same.
    fn at(&self, page: usize) -> String {
        match self.provider {
            Some(provider) => format!("models {provider} {page}"),
            None => format!("models {page}"),
        }
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Pages count from 1; one too large to count is merely beyond the end.
fn page_number(word: &str) -> Option<usize> {
    let page = is_number(word).then(|| word.parse().unwrap_or(usize::MAX))?;
    (page > 0).then_some(page)
}

/// The lines in pages.
fn pages<'l, 'a>(mut lines: &'l [Line<'a>], page_size: usize) -> Vec<&'l [Line<'a>]> {
    let mut pages = Vec::new();
    while !lines.is_empty() {
        let (page, rest) = lines.split_at(fitting(lines, page_size));
        pages.push(page);
        lines = rest;
    }
    pages
}

/// How many of the lines go on one page: at least one.
fn fitting(lines: &[Line<'_>], page_size: usize) -> usize {
    let (mut bytes, mut provider) = (0, None);
    for (at, line) in lines.iter().enumerate().take(page_size) {
        if provider != Some(line.provider) {
            bytes += line.provider.len() + GROUP_BYTES;
            provider = Some(line.provider);
        }
        bytes += line.text.len() + 1;
        if bytes > PAGE_BYTES_MAX {
            return at.max(1);
        }
    }
    page_size.min(lines.len())
}

/// What of the model is in memory, and what it is doing there.
fn memory(model: &Model) -> Vec<String> {
    if !model.local {
        // A model elsewhere is always there.
        let sum = |of: fn(&Instance) -> u32| model.instances.iter().map(of).fold(0, u32::saturating_add);
        return vec![busy("remote".to_owned(), sum(|it| it.in_flight), sum(|it| it.queued))];
    }
    let described = model.instances.iter().take(INSTANCES_MAX).map(instance);
    let more = model.instances.len().saturating_sub(INSTANCES_MAX);
    described.chain((more > 0).then(|| format!("{more} more times"))).collect()
}

fn instance(instance: &Instance) -> String {
    let mut state = match instance.state.as_str() {
        "ready" => "in memory".to_owned(),
        "loading" | "unloading" => instance.state.clone(),
        other => code(other),
    };
    if instance.context_length > 0 {
        state.push_str(&format!(", context {} tokens", instance.context_length));
    }
    busy(state, instance.in_flight, instance.queued)
}

fn busy(mut state: String, in_flight: u32, queued: u32) -> String {
    if in_flight > 0 {
        state.push_str(&format!(", serving {in_flight}"));
    }
    if queued > 0 {
        state.push_str(&format!(", {queued} waiting"));
    }
    state
}

fn none_at_all() -> String {
    "No provider has a language model now; `pointsman doctor` says why. Where there are some, this skill was not granted \
     `models`."
        .to_owned()
}

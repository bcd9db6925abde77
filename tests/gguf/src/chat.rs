//! The chat template of scripted models: it renders a conversation in ChatML, tools, calls and reasoning too, and ends
//! the prompt with the token that begins what the model says.
//!
//! An engine finds out by rendering how a model writes calls and reasoning; so both are written as many real models do
//! (`<tool_call>` around a JSON object, `<think>` around thoughts). A translator has a template of its own kind. What the template decides, first that applies: a
//! tool's result is answered; a word of a test's own; the words below; tools are called; else the model says who it is.

use std::fmt;

use serde_json::Value;

/// In the last message: the model talks without end.
pub const WORD_LONG: &str = "LONG";

/// In the last message: the model reasons before it answers.
pub const WORD_THINK: &str = "THINK";

/// In the last message: the model speaks, although it has tools.
pub const WORD_SAY: &str = "SAY";

/// What the choice replaces in the template below.
const CHOICE: &str = "CHOICE";

/// What stands for the languages in a translator's template.
const KNOWN: &str = "LANGUAGES";

/// Languages that a translator knows; `en-GB` is what the engine takes where a request names none.
const LANGUAGES: [&str; 10] = ["en", "en-GB", "de", "fr", "es", "it", "hi", "ja", "zh", "ar"];

/// The template, but for the choice.
const TEMPLATE: &str = r#"
{%- if tools -%}
<|im_start|>system
To use a tool, write its name and arguments as JSON between tags:
<tool_call>
{"name": "the tool", "arguments": {"key": "value"}}
</tool_call>
These tools are there:
{% for tool in tools -%}
{{ tool | tojson }}
{% endfor -%}
<|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- set text = message.content or '' -%}
{%- if message.role == 'assistant' -%}
{{ '<|im_start|>assistant\n' }}
{%- if message.reasoning_content -%}
{{ '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}
{%- endif -%}
{{ text }}
{%- for call in message.tool_calls or [] -%}
{{ '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + '}\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\n' }}
{%- elif message.role == 'tool' -%}
{{ '<|im_start|>tool\n' + text + '<|im_end|>\n' }}
{%- else -%}
{{ '<|im_start|>' + message.role + '\n' + text + '<|im_end|>\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\n' }}
{%- set last = messages[-1] -%}
{%- set text = last.content or '' -%}
CHOICE
{%- endif -%}
"#;

/// A translator's template, but for the choice. The engine knows such a template by its two subscripts, and then hands
/// it one part for each of the user's messages, with the languages that the request names beside its messages.
const TRANSLATOR: &str = r#"
{%- if tools -%}{{ raise_exception('a translator takes no tools') }}{%- endif -%}
{%- set known = LANGUAGES -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{%- set part = message.content[0] -%}
{%- set source_lang_code = part['source_lang_code'] -%}
{%- set target_lang_code = part['target_lang_code'] -%}
{{ '<|im_start|>user\nTranslate ' + known[source_lang_code] + ' to ' + known[target_lang_code] + ': ' + part['text'] + '<|im_end|>\n' }}
{%- else -%}
{{ '<|im_start|>' + message.role + '\n' + (message.content or '') + '<|im_end|>\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\n' }}
{%- set target = messages[-1].content[0]['target_lang_code'] -%}
CHOICE
{%- endif -%}
"#;

/// What a model may be told to say; each is a token that a template can end a prompt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// Who it is.
    Say,
    /// That it saw a tool's result.
    Answer,
    /// A call of a tool, or several.
    Call,
    /// A thought, then an answer.
    Think,
    /// Words without end.
    Long,
    /// What a test added, by its number.
    Own(usize),
}

impl fmt::Display for Selector {
    /// As it is spelled in a template. Spelled by a bare word, some would be taken for the end of a turn: the engine
    /// knows `<|call|>`, with which other models end one.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say => out.write_str("<|line-say|>"),
            Self::Answer => out.write_str("<|line-answer|>"),
            Self::Call => out.write_str("<|line-call|>"),
            Self::Think => out.write_str("<|line-think|>"),
            Self::Long => out.write_str("<|line-long|>"),
            Self::Own(number) => write!(out, "<|line-own-{number}|>"),
        }
    }
}

/// The template of a model that knows these words of a test's own, in this order, and begins its calls with this token.
pub(super) fn template<'a>(own: impl IntoIterator<Item = &'a str>, call: &str) -> String {
    let mut choice = format!("{{%- if last.role == 'tool' -%}}{}", Selector::Answer);
    let own = own.into_iter().enumerate().map(|(number, word)| (word, Selector::Own(number)));
    for (word, selector) in own.chain([(WORD_LONG, Selector::Long), (WORD_THINK, Selector::Think)]) {
        choice.push_str(&format!("{{%- elif {} in text -%}}{selector}", literal(word)));
    }
    choice.push_str(&format!("{{%- elif tools and {} not in text -%}}{call}", literal(WORD_SAY)));
    choice.push_str(&format!("{{%- else -%}}{}{{%- endif -%}}", Selector::Say));
    TEMPLATE.trim().replace(CHOICE, &choice)
}

/// The template of a translator that knows these target languages, in this order.
pub(super) fn translator<'a>(targets: impl IntoIterator<Item = &'a str>) -> String {
    let mut choice = "{%- if false -%}".to_owned();
    for (number, target) in targets.into_iter().enumerate() {
        let selector = Selector::Own(number);
        choice.push_str(&format!("{{%- elif target == {} -%}}{selector}", literal(target)));
    }
    choice.push_str(&format!("{{%- else -%}}{}{{%- endif -%}}", Selector::Say));
    let known: serde_json::Map<String, Value> =
        LANGUAGES.map(|code| (code.to_owned(), code.into())).into_iter().collect();
    let template = TRANSLATOR.trim().replace(CHOICE, &choice);
    template.replace(KNOWN, &Value::Object(known).to_string())
}

/// A text as a template writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

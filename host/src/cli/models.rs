//! `pointsman models`: what can be served and what is in memory, and a person's wishes to change it. Telling clients of
//! it is a command of its own ([`super::export`]).

use anyhow::Context as _;
use serde::Serialize;

use super::args::{Global, Models};
use super::client::Patience;
use super::output::{FAINT, GOOD, ODD, Output, paint, patiently, table};
use super::{Success, client, export};
use crate::admin::view::{self, LoadOrder, UnloadOrder, Wished};

/// Asks the running gateway.
pub(super) async fn run(global: &Global, command: Models, output: &mut Output) -> anyhow::Result<Success> {
    let gateway = client(global).await?;
    match command {
        Models::List => {
            let models: view::Models = gateway.get("models").await?;
            output.value(&models, || listing(&models.models));
        }
        Models::Load { model, context_length, pin } => {
            let waiting = format!("loading {model}; running requests in the way are finished first");
            let order = LoadOrder { model, context_length, pin };
            let wished =
                patiently(output, waiting, gateway.post("models/load", body(&order)?, Patience::Long))
                    .await?;
            output.value(&wished, || vec![became(&wished, "is loaded")]);
        }
        Models::Unload { model } => {
            let waiting = format!("unloading {model} as soon as nobody uses it");
            let order = UnloadOrder { model };
            let wished =
                patiently(output, waiting, gateway.post("models/unload", body(&order)?, Patience::Long))
                    .await?;
            output.value(&wished, || vec![became(&wished, "is unloaded")]);
        }
        Models::Export(order) => export::run(global, &gateway, &order, output).await?,
    }
    Ok(Success::Yes)
}

fn body(order: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    serde_json::to_vec(order).context("the request's body")
}

fn became(wished: &Wished, what: &str) -> String {
    let Wished { model, standing, seconds, .. } = wished;
    if standing != "done" {
        return format!("{} {model}: {standing}", paint(ODD, "waits"));
    }
    let context = wished.instances.iter().find_map(|it| it.context_length);
    let context = context.map(|tokens| format!(", {tokens} tokens of context")).unwrap_or_default();
    format!("{} {model} {what} ({seconds:.1} s{context})", paint(GOOD, "ok"))
}

fn listing(models: &[view::Model]) -> Vec<String> {
    if models.is_empty() {
        return vec![format!(
            "{} the provider lists no model; `pointsman doctor` looks closer",
            paint(ODD, "none")
        )];
    }
    let head = ["MODEL", "KIND", "SIZE", "MAX CONTEXT", "IN MEMORY"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(head).chain(models.iter().map(row)).collect();
    let mut lines = table(&rows);
    let resident = models.iter().filter(|model| !model.instances.is_empty()).count();
    lines.push(paint(FAINT, format_args!("{} models, {resident} in memory", models.len())));
    lines
}

fn row(model: &view::Model) -> Vec<String> {
    let kind = if model.vision { format!("{}, vision", model.kind) } else { model.kind.clone() };
    let unknown = || "?".to_owned();
    let instances: Vec<String> = model.instances.iter().map(instance).collect();
    vec![
        model.id.clone(),
        kind,
        model.size_bytes.map_or_else(unknown, gigabytes),
        model.max_context.map_or_else(unknown, |tokens| tokens.to_string()),
        instances.join("; "),
    ]
}

fn instance(instance: &view::Instance) -> String {
    let context = instance.context_length.map(|tokens| format!(" {tokens} tokens")).unwrap_or_default();
    let busy = match (instance.in_flight, instance.queued) {
        (0, 0) => String::new(),
        (running, 0) => format!(", {running} running"),
        (running, waiting) => format!(", {running} running, {waiting} waiting"),
    };
    format!("{}{context}{busy}", instance.state)
}

/// Decimal gigabytes with one digit, as model servers show sizes.
fn gigabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_add(50_000_000) / 100_000_000;
    format!("{}.{} GB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_one_row() {
        let instance = view::Instance {
            id: "openai/gpt-oss-20b".to_owned(),
            state: "ready".to_owned(),
            context_length: Some(32_768),
            in_flight: 1,
            queued: 2,
        };
        let model = view::Model {
            id: "lmstudio/openai/gpt-oss-20b".to_owned(),
            display_name: "gpt-oss 20B".to_owned(),
            kind: "language".to_owned(),
            vision: false,
            tool_use: true,
            reasoning: true,
            local: true,
            max_context: None,
            size_bytes: Some(12_109_565_632),
            load_seconds: None,
            input_cost: None,
            output_cost: None,
            instances: vec![instance],
        };
        let expected = [
            "lmstudio/openai/gpt-oss-20b",
            "language",
            "12.1 GB",
            "?",
            "ready 32768 tokens, 1 running, 2 waiting",
        ];
        assert_eq!(row(&model), expected);
        assert!(listing(&[model]).last().unwrap().contains("1 models, 1 in memory"));
        assert!(listing(&[])[0].contains("lists no model"));
    }
}

//! Asks a model and answers with what it said: `ask MODEL`, `embed MODEL`, `ask-often MODEL`.

use guests::prelude::{Error, Verdict, inference};

fn told(error: Error) -> String {
    error.code
}

guests::guest!(warm "infers", |turn| {
    let (what, model) = turn.user_text.split_once(' ').unwrap_or_default();
    let answer = match what {
        "ask" => format!("{:?}", inference::complete(model, "Be brief.", "Hello", 10).map_err(told)),
        "embed" => {
            let inputs = ["one".to_owned(), "two".to_owned()];
            format!("{:?}", inference::embed(model, &inputs).map(|it| it.len()).map_err(told))
        }
        "ask-often" => {
            let ask = |_| inference::complete(model, "", "Hello", 1).map_err(told).err();
            let answers: Vec<_> = (0..20).map(ask).collect();
            format!("{:?}", answers.last().cloned().flatten())
        }
        _ => return Ok(Verdict::Pass),
    };
    Ok(Verdict::Reply(answer))
});

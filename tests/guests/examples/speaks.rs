//! Answers in the assistant's place: `say X` with X, `refuse X` with a refusal that says X; everything else passes.

use guests::prelude::{Refusal, Verdict};

guests::guest!(warm "speaks", |turn| {
    Ok(match turn.user_text.split_once(' ') {
        Some(("say", words)) => Verdict::Reply(words.to_owned()),
        Some(("refuse", words)) => Verdict::Refuse(Refusal { status: 451, message: words.to_owned() }),
        _ => Verdict::Pass,
    })
});

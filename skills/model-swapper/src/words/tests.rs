//! Names are found in all their forms, as if the lists had them written out.

use super::*;
use crate::token::scan;

/// The phrases of a list with their classes.
fn listed(text: &str) -> impl Iterator<Item = (Class, &str)> {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter_map(|(key, value)| Some((Class::of(key)?, value)))
        .flat_map(|(class, value)| split(value).map(move |phrase| (class, phrase)))
}

/// A text is found whole, as this and perhaps more.
fn check(lexicon: &Lexicon, text: &str, class: Class, code: Option<Code>) {
    let tokens = scan(text, 0);
    let found = lexicon.longest(&tokens).unwrap_or_else(|| panic!("{text}: {tokens:?}"));
    assert_eq!(found.tokens, tokens.len(), "{text}");
    assert!(found.class.is(class), "{text}: {found:?}");
    assert_eq!(found.code.map(Code::as_str), code.map(Code::as_str), "{text}");
}

#[test]
fn every_name_is_found_in_every_form_of_its_list() {
    let mut checked = 0;
    for (lexicon, (_, text)) in lexica().iter().zip(FILES) {
        let names = text.lines().find_map(|line| line.strip_prefix("names: ")).unwrap();
        for (class, form) in listed(text).filter(|(_, phrase)| phrase.contains(name::PLACE)) {
            for (code, name) in name::written(names) {
                let written = match name.strip_prefix(name::FIXED) {
                    Some(name) => {
                        let (before, after) = form.split_once(name::PLACE).unwrap();
                        format!("{before}{name}{}", after.trim_start_matches(char::is_alphabetic))
                    }
                    None => form.replace(name::PLACE, name),
                };
                check(lexicon, &written, class, Some(code));
                checked += 1;
            }
        }
    }
    assert!(checked > 10_000, "{checked}");
}

#[test]
fn a_long_name_may_have_a_slip_in_it_where_it_does_not_begin_the_phrase() {
    let lexica = lexica();
    let english = lexica.iter().find(|lexicon| lexicon.code == Code::ENGLISH).unwrap();
    let code = |text: &str| english.longest(&scan(text, 0)).and_then(|found| found.code).map(Code::as_str);
    assert_eq!(code("into portugese"), Some("pt"));
    assert_eq!(code("into Brazilian Portugese"), Some("pt-BR"));
    assert_eq!(code("portugese version of"), None);
}

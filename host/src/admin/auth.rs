//! Who may use the admin API: whoever can read the token's file. Compared in constant time; nothing is remembered of
//! wrong tokens, which are 128 random bits and cannot be guessed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;

use super::answer::Failure;
use super::{Admin, TOKEN_FILE};

/// Lets a request on that bears the token.
pub(super) async fn require_token(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if bears(request.headers(), &admin.token) {
        next.run(request).await
    } else {
        Failure::no_token(&admin.data_dir.join(TOKEN_FILE)).respond()
    }
}

/// An empty token opens nothing, so that a gateway without one is closed rather than open.
fn bears(headers: &HeaderMap, token: &str) -> bool {
    let sent = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let is_bearer = sent.get(..BEARER.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(BEARER));
    let sent = sent.get(BEARER.len()..).unwrap_or_default().trim_ascii();
    is_bearer && !token.is_empty() && bool::from(sent.ct_eq(token.as_bytes()))
}

/// The scheme, whose case does not count (RFC 9110, 11.1).
const BEARER: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_opens() {
        let cases = [
            (Some("Bearer s3cret"), "s3cret", true),
            (Some("bearer  s3cret "), "s3cret", true),
            (Some("Bearer s3cre"), "s3cret", false),
            (Some("Bearer s3crett"), "s3cret", false),
            (Some("Basic s3cret"), "s3cret", false),
            (Some("s3cret"), "s3cret", false),
            (Some("Bearer "), "", false),
            (Some("Bearer"), "", false),
            (None, "s3cret", false),
            (None, "", false),
        ];
        for (header, token, open) in cases {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().unwrap());
            }
            assert_eq!(bears(&headers, token), open, "{header:?}");
        }
    }
}

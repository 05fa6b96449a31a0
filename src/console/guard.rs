//! What stands between the page and other web sites that the same browser visits.
//!
//! A site cannot read or steer the console: its name in `Host` is refused (a name that is rebound to this machine's
//! address arrives with that name), its `Origin` on a request that changes something is refused, and what the console
//! sends may load nothing from elsewhere.

use super::api::ApiError;
use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// Scripts, styles, pictures and requests from this server only; nobody may frame the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Refuses strangers, and puts the protecting headers on every answer.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut response = match check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

fn check(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(host) = text(header::HOST) else {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "the request names no host"));
    };
    if !is_own_name(host) {
        let words = "open the page by an address such as http://127.0.0.1:8770; names other than localhost are refused";
        return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, words));
    }
    if *method == Method::GET || *method == Method::HEAD {
        return Ok(());
    }
    let foreign_origin = text(header::ORIGIN).is_some_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority != Some(host)
    });
    let foreign_site = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    if foreign_origin || foreign_site {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "requests from other web sites are refused"));
    }
    Ok(())
}

/// An IP address or `localhost`, with or without a port. No DNS answer can make these mean another machine.
fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: Method, pairs: &[(&'static str, &str)]) -> Result<(), StatusCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        check(&method, &headers).map_err(|error| error.status())
    }

    #[test]
    fn names_that_dns_could_rebind_are_refused() {
        for host in ["127.0.0.1:8770", "localhost", "LOCALHOST:1", "[::1]:8770", "10.0.0.7:80"] {
            assert_eq!(answer(Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example:8770", "127.0.0.1.evil.example", "", "[evil]:1"] {
            assert_eq!(answer(Method::GET, &[("host", host)]), Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
    }

    #[test]
    fn other_sites_cannot_post() {
        let host = ("host", "127.0.0.1:8770");
        assert_eq!(answer(Method::POST, &[host]), Ok(()));
        assert_eq!(answer(Method::POST, &[host, ("origin", "http://127.0.0.1:8770")]), Ok(()));
        for origin in ["http://evil.example", "null", "http://127.0.0.1:9999"] {
            assert_eq!(answer(Method::POST, &[host, ("origin", origin)]), Err(StatusCode::FORBIDDEN), "{origin}");
        }
        assert_eq!(answer(Method::POST, &[host, ("sec-fetch-site", "cross-site")]), Err(StatusCode::FORBIDDEN));
    }
}

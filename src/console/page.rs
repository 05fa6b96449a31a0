//! The page's files, compiled in.

use super::api::ApiError;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal: $kind:ident),+ $(,)?) => {
        &[$(($path, $kind, include_str!(concat!("page/", $path)))),+]
    };
}

/// Path below `/page/`, media type, content.
const FILES: &[(&str, &str, &str)] = files! {
    "style.css": CSS,
    "board.css": CSS,
    "app.js": SCRIPT,
    "board.js": SCRIPT,
    "chat.js": SCRIPT,
    "composer.js": SCRIPT,
    "markdown.js": SCRIPT,
    "team.js": SCRIPT,
    "faces/watcher.svg": SVG,
    "faces/domain-expert.svg": SVG,
    "faces/developer.svg": SVG,
    "faces/training.svg": SVG,
    "faces/evaluation.svg": SVG,
    "faces/person.svg": SVG,
    "faces/system.svg": SVG,
};

pub(super) async fn index() -> Response {
    answer(HTML, include_str!("page/index.html"))
}

pub(super) async fn file(Path(path): Path<String>) -> Response {
    match FILES.iter().find(|(name, _, _)| *name == path) {
        Some((_, kind, content)) => answer(kind, content),
        None => ApiError::new(StatusCode::NOT_FOUND, "the page has no such file").into_response(),
    }
}

/// The page belongs to the running program: a browser asks again, so that a new version is seen at once.
fn answer(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_the_page_names_is_there() {
        let all = FILES.iter().map(|(_, _, content)| *content).chain([include_str!("page/index.html")]);
        for content in all {
            for part in content.split("/page/").skip(1) {
                let path: String = part.chars().take_while(|c| c.is_alphanumeric() || "-_./".contains(*c)).collect();
                assert!(path == "faces/" || FILES.iter().any(|(name, _, _)| *name == path), "{path}");
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_text_becomes_html() {
        for (path, _, content) in FILES {
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"] {
                assert!(!content.contains(forbidden), "{path} contains {forbidden}");
            }
        }
    }
}

//! The embedded chat over HTTP: the API's answers, the page's files, the stream, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it did not expect")]

mod console_bench;

use console_bench::{Bench, Request};
use serde_json::{Value, json};

#[tokio::test]
async fn an_empty_store_gives_empty_states() {
    let bench = Bench::empty().await;
    assert_eq!(bench.json("/api/v1/status").await, json!({"mission": null, "loops": []}));
    assert_eq!(bench.json("/api/v1/agents").await, json!([]));
    assert_eq!(bench.json("/api/v1/messages").await, json!([]));
}

#[tokio::test]
async fn the_page_and_its_files_are_served_with_protecting_headers() {
    let bench = Bench::empty().await;
    let page = bench.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let named: Vec<&str> = page.text().split('"').filter(|part| part.starts_with("/page/")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for path in named {
        let file = bench.get(path).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(!file.body.is_empty(), "{path}");
    }
    assert_eq!(bench.get("/page/../mod.rs").await.status, 404);
    assert_eq!(bench.get("/nothing").await.status, 404);
}

#[tokio::test]
async fn messages_are_given_by_channel_and_position() {
    let bench = Bench::seeded().await;
    let all = bench.json("/api/v1/messages").await;
    let all = all.as_array().unwrap();
    assert!(all.windows(2).all(|pair| pair[0]["id"].as_i64() < pair[1]["id"].as_i64()));
    let training = bench.json("/api/v1/messages?channel=training").await;
    assert!(training.as_array().unwrap().iter().all(|message| message["channel"] == "training"));
    let second = all[1]["id"].as_i64().unwrap();
    let after = bench.json(&format!("/api/v1/messages?after={second}&limit=2")).await;
    assert_eq!(after.as_array().unwrap().len(), 2);
    assert_eq!(after[0]["id"], all[2]["id"]);
    assert_eq!(bench.get("/api/v1/messages?limit=x").await.status, 400);
    assert_eq!(bench.get("/api/v1/messages?chanel=training").await.status, 400);
}

#[tokio::test]
async fn the_status_carries_rates_with_intervals() {
    let bench = Bench::seeded().await;
    let status = bench.json("/api/v1/status").await;
    assert_eq!(status["mission"]["planned_loops"], 3);
    let scenes = &status["loops"][0]["scenes"];
    assert_eq!((scenes["successes"].as_u64(), scenes["trials"].as_u64()), (Some(81), Some(130)));
    let (low, rate, high) = (&scenes["low"], &scenes["rate"], &scenes["high"]);
    assert!(low.as_f64() < rate.as_f64() && rate.as_f64() < high.as_f64());
    assert_eq!(status["loops"][0]["failures"][0], json!(["wall_stuck", 21]));
    let job = status["loops"][1]["train_job"].as_i64().unwrap();
    let curve = bench.json(&format!("/api/v1/training/{job}")).await;
    assert!(curve["points"].as_array().unwrap().len() > 10);
    assert_eq!(bench.get("/api/v1/training/999").await.status, 404);
    let agents = bench.json("/api/v1/agents").await;
    assert_eq!(agents.as_array().unwrap().len(), 5);
    assert!(agents.as_array().unwrap().iter().any(|agent| agent["title"] == "Domain Expert"));
}

#[tokio::test]
async fn artefacts_come_with_their_type_and_are_kept_for_ever() {
    let bench = Bench::seeded().await;
    let messages = bench.json("/api/v1/messages").await;
    let attachments: Vec<&Value> =
        messages.as_array().unwrap().iter().flat_map(|m| m["attachments"].as_array().unwrap()).collect();
    assert!(attachments.len() >= 3);
    for attachment in attachments {
        let id = attachment["artifact"].as_str().unwrap();
        let file = bench.get(&format!("/api/v1/artifacts/{id}")).await;
        assert_eq!(file.header("content-type"), attachment["media_type"].as_str().unwrap());
        assert!(file.header("cache-control").contains("immutable"));
        assert!(!attachment["alt"].as_str().unwrap().is_empty());
    }
    assert_eq!(bench.get(&format!("/api/v1/artifacts/{}", "0".repeat(64))).await.status, 404);
    assert_eq!(bench.get("/api/v1/artifacts/..%2F..%2Fstore.sqlite").await.status, 404);
}

#[tokio::test]
async fn a_command_is_carried_out_and_shown() {
    let bench = Bench::seeded().await;
    let reply = bench.command("/status").await;
    assert!(reply["text"].as_str().unwrap().contains("62.3 %"), "{reply}");
    let reply = bench.command("/statsu").await;
    assert!(reply["text"].as_str().unwrap().contains("`/status`"), "{reply}");
    let before = bench.json("/api/v1/messages?channel=mission-control").await.as_array().unwrap().len();
    bench.command("@training how far?").await;
    let after = bench.json("/api/v1/messages?channel=mission-control").await;
    assert_eq!(after.as_array().unwrap().len(), before + 1);
    assert_eq!(after[before]["text"], "@training how far?");
    let names: Vec<Value> = bench.json("/api/v1/catalogue").await.as_array().unwrap().clone();
    assert!(names.iter().any(|entry| entry["name"] == "loop start"));
}

#[tokio::test]
async fn other_sites_and_rebound_names_are_refused() {
    let bench = Bench::seeded().await;
    let stop = json!({"line": "/loop stop"}).to_string();
    let post = Request::post("/api/v1/command", &stop);
    assert_eq!(bench.send(post.clone().header("origin", "http://evil.example")).await.status, 403);
    assert_eq!(bench.send(post.clone().header("sec-fetch-site", "cross-site")).await.status, 403);
    assert_eq!(bench.send(post.clone().host("evil.example")).await.status, 421);
    assert_eq!(bench.send(Request::get("/api/v1/status").host("rebound.example:8770")).await.status, 421);
    assert_eq!(bench.send(post.clone().content_type("text/plain")).await.status, 415);
    assert_eq!(bench.json("/api/v1/status").await["mission"]["state"], "running");
    let own = post.header("origin", &format!("http://{}", bench.address));
    assert_eq!(bench.send(own).await.status, 200);
    assert_eq!(bench.json("/api/v1/status").await["mission"]["state"], "stopped");
}

#[tokio::test]
async fn large_and_malformed_bodies_are_refused() {
    let bench = Bench::empty().await;
    let long = json!({ "line": "x".repeat(70 * 1024) }).to_string();
    assert_eq!(bench.send(Request::post("/api/v1/command", &long)).await.status, 413);
    assert_eq!(bench.send(Request::post("/api/v1/command", "{\"line\": 3}")).await.status, 422);
    assert_eq!(bench.send(Request::post("/api/v1/command", "{")).await.status, 400);
    let reply = bench.command(&"x".repeat(3_000)).await;
    assert!(reply["text"].as_str().unwrap().contains("at most 2000"), "{reply}");
}

#[tokio::test]
async fn the_stream_goes_on_after_the_last_message_that_was_seen() {
    let bench = Bench::seeded().await;
    let all = bench.json("/api/v1/messages").await;
    let ids: Vec<i64> = all.as_array().unwrap().iter().map(|message| message["id"].as_i64().unwrap()).collect();
    let seen = ids[ids.len() - 3];
    let mut stream = bench.stream(&format!("/api/v1/stream?after={seen}")).await;
    let first = stream.event("message").await;
    assert_eq!(first["id"], ids[ids.len() - 2]);
    assert_eq!(stream.event("message").await["id"], ids[ids.len() - 1]);
    assert!(stream.event("status").await["mission"].is_object());
    assert_eq!(stream.event("agents").await.as_array().unwrap().len(), 5);
    bench.say("one more").await;
    assert_eq!(stream.event("message").await["text"], "one more");
}

#[tokio::test]
async fn an_open_page_does_not_keep_the_server_from_stopping() {
    let bench = Bench::seeded().await;
    let mut stream = bench.stream("/api/v1/stream").await;
    stream.event("status").await;
    bench.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let bench = Bench::empty().await;
    let error = ralphton::console::bind(bench.address).unwrap_err().to_string();
    assert!(error.contains(&bench.address.port().to_string()) && error.contains("--listen"), "{error}");
}

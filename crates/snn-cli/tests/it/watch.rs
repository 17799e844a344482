//! `snn watch`: alarms as rows arrive, the state between two runs, and what is refused.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{self, SNN, refused, snn, stderr, stdout, text};

/// Rows to learn from, in all of these tests.
const TRAIN: usize = 400;

/// Readings of four stations in one room; the third is 4 off in the rows of `bad`.
fn readings(rows: std::ops::Range<usize>, bad: std::ops::Range<usize>) -> Vec<[f64; 4]> {
    let room = |t: f64| 20.0 + 3.0 * (0.1 * t).sin() + (0.037 * t).cos();
    // As good as random, within a tenth.
    let noise = |t: usize, i: usize| 0.2 * ((43_758.5 * (12.9898 * t as f64 + 78.233 * i as f64).sin()).fract() - 0.5);
    let read = |t: usize| {
        let x = room(t as f64);
        let all = [x, 1.1 * x - 2.0, if bad.contains(&t) { 0.9 * x + 4.0 } else { 0.9 * x }, x + 0.2 * (0.1 * t as f64).cos()];
        std::array::from_fn(|i| all[i] + noise(t, i))
    };
    rows.map(read).collect()
}

fn table(rows: std::ops::Range<usize>, bad: std::ops::Range<usize>) -> String {
    let mut text = String::from("when,north,east,south,west\n");
    for (t, row) in rows.clone().zip(readings(rows, bad)) {
        let [a, b, c, d] = row;
        writeln!(text, "h{t},{a},{b},{c},{d}").expect("text");
    }
    text
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file");
    program::text(&path).into()
}

/// The options all tests share.
fn watch(args: &[&str]) -> std::process::Output {
    snn(&[&["watch", "--train", "400", "--time", "when", "--nearest", "3", "--threads", "1"][..], args].concat())
}

/// Alarms as `(time, station, what)`.
fn said(json: &str) -> Vec<(String, String, String)> {
    let alarm = |line: &str| {
        let alarm: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        assert!(alarm["limit"].is_number() && alarm["expected"].is_number(), "{line}");
        let word = |name: &str| alarm[name].as_str().expect("text").to_string();
        (word("time"), word("station"), word("what"))
    };
    json.lines().map(alarm).collect()
}

#[test]
fn a_station_that_is_off_is_named_and_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = write(dir.path(), "room.csv", &table(0..600, 450..500));
    let output = watch(&[&path, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found = said(stdout(&output));
    assert_eq!(found.len(), 2, "{found:?}");
    let hour = |k: usize| found[k].0[1..].parse::<usize>().expect("an hour");
    assert!((450..462).contains(&hour(0)) && (500..530).contains(&hour(1)), "{found:?}");
    assert!(found[0].1 == "south" && found[1].1 == "south" && found[1].2 == "well", "{found:?}");
    assert!(stderr(&output).contains("200 rows, 2 alarms; all stations are well"), "{}", stderr(&output));
    // For people, and with the links in a file.
    let links = write(dir.path(), "links.csv", "a,b\nnorth,east\neast,south\nsouth,west\nwest,north\nnorth,south\n");
    let output = snn(&["watch", &path, "--train", "400", "--time", "when", "--neighbours", &links]);
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("  south  ") && lines[0].contains("neighbours say"), "{lines:?}");
}

#[test]
fn alarms_come_while_rows_do() {
    let mut child = Command::new(SNN)
        .args(["watch", "-", "--train", "400", "--time", "when", "--nearest", "3", "--json", "--threads", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(table(0..480, 450..480).as_bytes()).and_then(|()| input.flush()).expect("rows are taken");
    // The pipe is still open.
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(said(&line)[0].1, "south");
    drop(input);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn tables_side_by_side_gaps_and_a_state_to_go_on_from() {
    let dir = tempfile::tempdir().expect("a folder");
    let rows = readings(0..520, 0..0);
    // A table for each station; the first has no readings from row 440 on, the second ends there.
    let station = |k: usize, rows: &[[f64; 4]]| {
        let gone = |t: usize| k == 0 && t >= 440;
        let lines = rows.iter().enumerate().take(if k == 1 { 440 } else { rows.len() });
        lines.fold(String::from("when,wind,x\n"), |text, (t, row)| {
            text + &if gone(t) { format!("h{t},NW,NA\n") } else { format!("h{t},NW,{}\n", row[k]) }
        })
    };
    let paths: Vec<String> = (0..4).map(|k| write(dir.path(), &format!("s{k}.csv"), &station(k, &rows))).collect();
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    let output = watch(&[&names[..], &["--column", "x", "--json"]].concat());
    let found: Vec<(String, String)> = stdout(&output)
        .lines()
        .map(|line| {
            let alarm: Value = serde_json::from_str(line).expect("JSON");
            (alarm["station"].as_str().expect("text").into(), alarm["what"].as_str().expect("text").into())
        })
        .collect();
    let silent = |name: &str| (name.to_string(), "silent".to_string());
    assert_eq!(found, [silent("s0"), silent("s1")], "{}", stderr(&output));

    // In two pieces it says what it says in one.
    let whole = watch(&[&write(dir.path(), "whole.csv", &table(0..600, 450..500)), "--json"]);
    let first = write(dir.path(), "first.csv", &table(0..470, 450..500));
    let second = write(dir.path(), "second.csv", &table(470..600, 450..500));
    let state = write(dir.path(), "none", "");
    std::fs::remove_file(&state).expect("removed");
    let pieces = [first, second].map(|path| stdout(&watch(&[&path, "--json", "--state", &state])).to_string());
    assert_eq!(said(&pieces.concat()), said(stdout(&whole)));
    refused(
        "another state",
        &watch(&[&[names[0], names[1]][..], &["--column", "x", "--state", &state]].concat()),
        &["north, east", "another --state"],
    );
    std::fs::write(&state, "nonsense").expect("written");
    refused("a damaged state", &watch(&[&write(dir.path(), "a.csv", &table(0..450, 0..0)), "--state", &state]), &["remove the file"]);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = table(0..TRAIN + 20, 0..0);
    let check = |name: &str, table: &str, args: &[&str], says: &[&str]| {
        let path = write(dir.path(), &name.replace(' ', "-"), table);
        refused(name, &watch(&[&[path.as_str()][..], args].concat()), says);
    };
    check("no reading", &good.replacen("h7,", "h7,x", 1), &[], &["line 9, column `north`", "--stations"]);
    check("a short row", &good.replacen("h7,", "", 1), &[], &["line 9", "4 entries, expected 5"]);
    check("too few rows", &table(0..100, 0..0), &[], &["100 rows", "--train wants 400"]);
    check("no such time", &good.replace("when", "hour"), &[], &["no column \"when\" for --time"]);
    check("no such station", &good, &["--stations", "north,soth"], &["\"soth\"", "Did you mean south?"]);
    check("one station", &good, &["--stations", "north"], &["two or more"]);
    let stuck: String = good
        .lines()
        .map(|line| {
            if line.starts_with('h') { line.rsplit_once(',').map_or("", |(a, _)| a).to_string() + ",1\n" } else { line.to_string() + "\n" }
        })
        .collect();
    check("always the same", &stuck, &[], &["station west", "always reads the same"]);
    let links = write(dir.path(), "links", "a,b\nnorth,est\n");
    let path = write(dir.path(), "good", &good);
    let output = snn(&["watch", &path, "--train", "400", "--time", "when", "--neighbours", &links]);
    refused("an unknown neighbour", &output, &["link 1: no station \"est\"", "Did you mean east?"]);
    refused("several tables", &watch(&[&path, &path]), &["--column"]);
    refused("no table", &watch(&[text(&dir.path().join("none.csv"))]), &["none.csv"]);
}

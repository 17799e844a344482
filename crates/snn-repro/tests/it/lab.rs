//! The lab with papers made for the purpose.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::made_up::{claim, paper, settings};
use snn_repro::{Axes, Bound, LabError, Paper, RunResult, Settings, Verdict, reproduce};

fn verdicts(result: &RunResult) -> Vec<Verdict> {
    result.claims.iter().map(|claim| claim.verdict).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_kind_of_answer_gets_its_verdict() {
    static PAPER: Paper = paper(
        "answers",
        &[
            claim("met", Bound::AtLeast(1.0), 1),
            claim("missed", Bound::AtMost(1.0), 1),
            claim("not a number", Bound::AtLeast(f64::MIN), 1),
            claim("infinite", Bound::AtLeast(0.0), 1),
            claim("needs seeds", Bound::AtLeast(0.0), 3),
            claim("refused", Bound::AtLeast(0.0), 1),
            claim("forgotten", Bound::AtLeast(0.0), 1),
        ],
        |lab| {
            lab.report("met", 1.0)?;
            lab.report("missed", 1.5)?;
            lab.report("not a number", f64::NAN)?;
            lab.report("infinite", f64::INFINITY)?;
            lab.report("needs seeds", 1.0)?;
            lab.not_run(&["refused"], "needs --data")?;
            lab.note("a remark");
            Ok(())
        },
    );
    let out = tempfile::tempdir().unwrap();
    let result = reproduce(&PAPER, &settings(out.path())).unwrap();
    use Verdict::*;
    assert_eq!(verdicts(&result), [Met, Missed, Missed, Missed, NotRun, NotRun, NotRun]);
    let why: Vec<Option<&str>> = result.claims.iter().map(|claim| claim.why.as_deref()).collect();
    let needs = Some("needs 3 seeds: --seeds 3");
    let forgotten = Some("not measured at smoke scale");
    assert_eq!(why, [None, None, Some("our figure is NaN"), Some("our figure is inf"), needs, Some("needs --data"), forgotten]);
    assert_eq!(result.claims[2].ours, None);
    assert!(result.missed());
    assert_eq!(result.notes, ["a remark"]);
    let on_disk = RunResult::read(&out.path().join("answers/smoke-1/result.json")).unwrap();
    assert_eq!(on_disk, result);
}

#[test]
fn claims_are_answered_by_name_and_once() {
    static PAPER: Paper = paper("names", &[claim("one", Bound::AtLeast(0.0), 1)], |lab| {
        assert!(matches!(lab.report("two", 1.0), Err(LabError::UnknownClaim { .. })));
        lab.report("one", 1.0)?;
        Ok(lab.not_run(&["one"], "again")?)
    });
    let out = tempfile::tempdir().unwrap();
    let error = reproduce(&PAPER, &settings(out.path())).unwrap_err().to_string();
    assert_eq!(error, "paper names, smoke scale, seed 1: paper names answered the claim \"one\" twice; report it once");
}

#[test]
fn a_failing_run_overwrites_nothing() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static PAPER: Paper = paper("fails", &[claim("one", Bound::AtLeast(0.0), 1)], |lab| {
        let run = RUNS.fetch_add(1, Relaxed);
        lab.attach("log.txt", format!("run {run}"))?;
        lab.curve("line", "Line", "x", "y", &[("a", vec![(0.0, run as f64), (1.0, 2.0)])], Axes::default())?;
        lab.report("one", run as f64)?;
        match run {
            1 => anyhow::bail!("no more paper"),
            2 => panic!("index out of range"),
            _ => Ok(()),
        }
    });
    let out = tempfile::tempdir().unwrap();
    let settings = settings(out.path());
    let dir = out.path().join("fails/smoke-1");
    let first = reproduce(&PAPER, &settings).unwrap();
    assert_eq!(names(&dir), ["line.csv", "line.png", "line.svg", "log.txt", "result.json"]);
    assert_eq!(first.files.len(), 5);
    assert!(first.files.iter().all(|file| Path::new(file).is_file()));
    for text in ["no more paper", "its code panicked, which is a bug: index out of range"] {
        let error = reproduce(&PAPER, &settings).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(std::fs::read_to_string(dir.join("log.txt")).unwrap(), "run 0");
        assert_eq!(RunResult::read(&dir.join("result.json")).unwrap(), first);
        assert_eq!(names(&out.path().join("fails")), ["smoke-1"], "a failed run left something behind");
    }
    reproduce(&PAPER, &settings).unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("log.txt")).unwrap(), "run 3");
}

#[test]
fn several_seeds_are_judged_by_their_mean() {
    static PAPER: Paper = paper(
        "seeds",
        &[
            claim("seed", Bound::Between(2.9, 3.1), 3),
            claim("four seeds", Bound::AtLeast(0.0), 4),
            claim("no number for one", Bound::AtLeast(0.0), 1),
            claim("not by all", Bound::AtLeast(0.0), 1),
            claim("by none", Bound::AtLeast(0.0), 1),
        ],
        |lab| {
            let seed = lab.dir().to_str().and_then(|dir| dir.rsplit('-').next()).and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN);
            lab.report("seed", seed)?;
            lab.report("four seeds", seed)?;
            lab.report("no number for one", if seed == 3.0 { f64::NAN } else { 1.0 })?;
            if seed == 2.0 {
                lab.report("not by all", 1.0)?;
            } else {
                lab.not_run(&["not by all"], "no time")?;
            }
            lab.not_run(&["by none"], "needs --data")?;
            lab.note("hello");
            Ok(())
        },
    );
    let out = tempfile::tempdir().unwrap();
    let settings = Settings { seed: 2, seeds: 3, ..settings(out.path()) };
    let result = reproduce(&PAPER, &settings).unwrap();
    use Verdict::*;
    assert_eq!(verdicts(&result), [Met, NotRun, Missed, NotRun, NotRun]);
    assert_eq!((result.seed, result.seeds), (2, Some(3)));
    let one = &result.claims[0];
    assert_eq!(one.ours, Some(3.0));
    assert_eq!(one.ours_each, [Some(2.0), Some(3.0), Some(4.0)]);
    // Standard deviation 1 over √3.
    assert!((one.standard_error.unwrap() - 1.0 / 3f64.sqrt()).abs() < 1e-12);
    let why: Vec<&str> = result.claims[1..].iter().map(|claim| claim.why.as_deref().unwrap()).collect();
    assert_eq!(why, ["needs 4 seeds: --seeds 4", "seed 3: our figure is NaN", "measured with only 1 of 3 seeds: no time", "needs --data"]);
    assert_eq!(result.claims[1].ours_each.len(), 3);
    assert_eq!(result.notes, ["seed 2: hello", "seed 3: hello", "seed 4: hello"]);
    assert_eq!(names(&out.path().join("seeds")), ["smoke-2", "smoke-3", "smoke-4", "smoke-seeds-3-from-2"]);
    assert_eq!(RunResult::read(Path::new(&result.files[0])).unwrap(), result);

    let error = reproduce(&PAPER, &Settings { seed: u64::MAX, ..settings }).unwrap_err();
    assert!(matches!(error, LabError::SeedOverflow { .. }), "{error}");
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static PAPER: Paper = paper("resumes", &[claim("parts", Bound::AtLeast(2.0), 1)], |lab| {
        let first = RUNS.fetch_add(1, Relaxed).is_multiple_of(2);
        let part = lab.checkpoint("training")?.join("part");
        assert_eq!(lab.resume(), part.exists());
        if first {
            assert!(!lab.resume(), "state of an earlier run is used unasked");
            std::fs::write(part, "1")?;
            anyhow::bail!("interrupted");
        }
        lab.report("parts", 1.0 + std::fs::read_to_string(part)?.parse::<f64>()?)?;
        Ok(())
    });
    let out = tempfile::tempdir().unwrap();
    let settings = settings(out.path());
    let resume = Settings { resume: true, ..settings.clone() };

    reproduce(&PAPER, &settings).unwrap_err();
    let other = Settings { data: Some("elsewhere".into()), ..resume.clone() };
    let error = reproduce(&PAPER, &other).unwrap_err().to_string();
    assert!(error.contains("with data elsewhere: run without --resume"), "{error}");
    let result = reproduce(&PAPER, &resume).unwrap();
    assert_eq!(verdicts(&result), [Verdict::Met]);
    assert_eq!(names(&out.path().join("resumes")), ["smoke-1"], "partial state outlived the run");

    // Finished: reported again, not run again, unless it would be another run.
    assert_eq!(reproduce(&PAPER, &resume).unwrap(), result);
    assert_eq!(RUNS.load(Relaxed), 2);
    reproduce(&PAPER, &Settings { threads: 2, ..resume }).unwrap_err();
    assert_eq!(RUNS.load(Relaxed), 3);

    // Without --resume, what was saved is not looked at.
    RUNS.store(0, Relaxed);
    reproduce(&PAPER, &settings).unwrap_err();
}

#[test]
fn two_runs_do_not_write_to_one_place() {
    static PAPER: Paper = paper("twice", &[], |lab| {
        let out = lab.dir().ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
        let error = reproduce(&OTHER, &settings(&out)).unwrap_err();
        assert!(matches!(error, LabError::Busy { .. }), "{error}");
        Ok(())
    });
    static OTHER: Paper = paper("twice", &[], |_| Ok(()));
    let out = tempfile::tempdir().unwrap();
    reproduce(&PAPER, &settings(out.path())).unwrap();
}

#[test]
fn file_names_stay_in_the_folder() {
    static PAPER: Paper = paper("files", &[], |lab| {
        for name in ["", "../x", "a/b", ".x", "result.json", "a\\b", "ü"] {
            assert!(matches!(lab.attach(name, ""), Err(LabError::FileName { .. })), "{name:?} was accepted");
        }
        assert!(lab.checkpoint("..").is_err());
        lab.attach("a.txt", "")?;
        assert!(lab.attach("a.txt", "").is_err());
        Ok(())
    });
    let out = tempfile::tempdir().unwrap();
    reproduce(&PAPER, &settings(out.path())).unwrap();
}

#[test]
fn an_output_folder_that_cannot_be_written_is_named() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = snn_repro::check_out(&file.join("sub")).unwrap_err().to_string();
    assert!(error.contains("file/sub"), "{error}");
    snn_repro::check_out(&out.path().join("new/folder")).unwrap();
}

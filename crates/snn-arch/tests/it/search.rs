//! What every search method must do, and what the good ones find.

use snn_arch::search::{Annealing, Cooling, CrossEntropy, Evolution, Method, Search, Space};
use snn_core::Seed;

fn cube(dims: usize, bound: f64) -> Space {
    Space::default().many("x", dims, -bound, bound)
}

fn sphere(x: &[f64]) -> f64 {
    -x.iter().map(|x| (x - 0.7).powi(2)).sum::<f64>()
}

fn rastrigin(x: &[f64]) -> f64 {
    -x.iter().map(|x| x * x - 10.0 * (std::f64::consts::TAU * x).cos() + 10.0).sum::<f64>()
}

fn run(search: &mut Search, evaluations: u64, f: impl Fn(&[f64]) -> f64) -> f64 {
    while search.evaluations() < evaluations {
        let fitness: Vec<f64> = search.ask().iter().map(|x| f(x)).collect();
        search.tell(&fitness).unwrap();
    }
    f(&search.stands())
}

#[test]
fn every_method_climbs_the_sphere() {
    for method in Method::all() {
        // By ranks all steps have one length, so that evolution hovers about the top: half the usual rate, half as far.
        let calm = Evolution { rate: 0.005, ..Evolution::default() };
        let method = if method.name() == "evolution" { calm.into() } else { method };
        let mut search = Search::new(cube(4, 5.0), method.clone(), Seed::new(102)).unwrap();
        let found = run(&mut search, 4000, sphere);
        let bound = if method.name() == "random" { -3.0 } else { -0.02 };
        assert!(found > bound, "{}: {found}", method.name());
        assert!(search.best().unwrap().1 >= found - 1e-9 || method.name() != "random");
    }
}

#[test]
fn cross_entropy_and_annealing_find_the_middle_of_rastrigin() {
    let hot = Annealing { chains: 40, step: 0.3, heat: 5.0, cooling: Cooling::Geometric(0.98) };
    let wide = CrossEntropy { population: 100, elite: 0.1, noise: 0.1, ..CrossEntropy::default() };
    for (method, evaluations) in [(Method::from(wide), 10_000), (hot.into(), 16_000)] {
        let mut search = Search::new(cube(3, 5.12), method.clone(), Seed::new(1234)).unwrap();
        let found = run(&mut search, evaluations, rastrigin);
        assert!(found > -0.9, "{}: {found}; the nearest other hill is at −1", method.name());
    }
}

#[test]
fn cross_entropy_recovers_the_mean_of_a_bump_through_noise() {
    let mean = [0.31, -0.42, 0.05];
    let bump = |x: &[f64]| (-x.iter().zip(mean).map(|(x, m)| (x - m).powi(2)).sum::<f64>() / 0.5).exp();
    let mut search = Search::new(cube(3, 1.0), CrossEntropy::default(), Seed::new(7)).unwrap();
    for g in 0..80 {
        let noise = |k: usize| (Seed::new(g).nth(k as u64).value() % 1000) as f64 / 1000.0 * 0.02;
        let fitness: Vec<f64> = search.ask().iter().enumerate().map(|(k, x)| bump(x) + noise(k)).collect();
        search.tell(&fitness).unwrap();
    }
    assert!(search.stands().iter().zip(mean).all(|(x, m)| (x - m).abs() < 0.05), "{:?}", search.stands());
}

#[test]
fn all_stay_within_bounds_and_go_on_to_the_same_bits() {
    let steep = |x: &[f64]| x.iter().sum::<f64>() + x[0]; // the best lies on the border
    for method in Method::all() {
        let mut search = Search::new(cube(3, 2.0).log("rate", 1e-3, 1.0), method, Seed::new(5)).unwrap();
        let mut kept = None;
        for g in 0..12 {
            let asked = search.ask();
            assert_eq!(asked, search.ask(), "asking twice changes nothing");
            for x in &asked {
                assert!(x[..3].iter().all(|x| x.abs() <= 2.0) && (1e-3..=1.0).contains(&x[3]), "{x:?}");
            }
            if g == 5 {
                kept = Some(serde_json::to_string(&search).unwrap()); // in the middle of a generation
            }
            search.tell(&asked.iter().map(|x| steep(x)).collect::<Vec<_>>()).unwrap();
        }
        let mut again: Search = serde_json::from_str(&kept.unwrap()).unwrap();
        for _ in 5..12 {
            let fitness: Vec<f64> = again.ask().iter().map(|x| steep(x)).collect();
            again.tell(&fitness).unwrap();
        }
        assert_eq!(again, search, "{}", search.method().name());
    }
}

#[test]
fn wrong_uses_are_named() {
    let mut search = Search::new(cube(2, 1.0), Evolution::default(), Seed::new(0)).unwrap();
    assert!(search.tell(&[]).unwrap_err().to_string().contains("ask"));
    let n = search.ask().len();
    assert!(search.tell(&vec![0.0; n - 1]).unwrap_err().to_string().contains(&format!("for {n} candidates")));
    let mut fitness = vec![0.0; n];
    fitness[3] = f64::NAN;
    let before = search.clone();
    assert!(search.tell(&fitness).unwrap_err().to_string().contains("candidate 3 has NaN"));
    assert_eq!(search, before);
    let refused = |space: Space, method: Method| Search::new(space, method, Seed::new(0)).unwrap_err().to_string();
    assert!(refused(Space::default(), Evolution::default().into()).contains("at least one"));
    assert!(refused(cube(1, 1.0).linear("x0", 0.0, 1.0), Evolution::default().into()).contains("a name of its own"));
    assert!(refused(Space::default().log("r", 0.0, 1.0), Evolution::default().into()).contains("logarithmic"));
    assert!(refused(cube(1, 1.0), CrossEntropy { elite: 0.0, ..Default::default() }.into()).contains("CrossEntropy: elite = 0"));
    assert!(refused(cube(1, 1.0), Annealing { cooling: Cooling::Linear(0), ..Default::default() }.into()).contains("cooling"));
}

//! Agents on the chip: the baselines they are measured with, and what they reach.

use snn_arch::on_chip::{Kind, Player, Setting, baseline};
use snn_arch::search::{CrossEntropy, Search};
use snn_core::Seed;
use snn_core::stats::mean;
use snn_data::{Arms, Bandit, BanditParams, Mdp, MdpParams};
use snn_hw::dls::Dls;

fn bandit(arms: Arms) -> Bandit {
    BanditParams { arms, ..BanditParams::default() }.build().unwrap()
}

fn setting<W>(world: W, kind: Kind, machine: Dls) -> Setting<W> {
    Setting { world, kind, machine, device: Seed::new(1), steps: 200 }
}

#[test]
fn the_players_of_bandits_reach_the_published_figures() {
    for (arms, player, all, first) in [
        (Arms::Dependent, Player::Oracle, 0.7494, 0.7494),
        (Arms::Dependent, Player::Dependent, 0.7375, 0.685),
        (Arms::Dependent, Player::Random, 0.5, 0.5),
        (Arms::Independent, Player::Oracle, 0.667, 0.667),
        (Arms::Independent, Player::Thompson, 0.639, 0.571),
    ] {
        let curve = baseline(&bandit(arms), player, 20_000, Seed::new(3)).unwrap();
        assert!((mean(&curve) - all).abs() < 0.003 + 0.0015, "{arms:?} {player:?}: {}", mean(&curve)); // ± 0.0011 of the sample
        assert!((mean(&curve[..10]) - first).abs() < 0.003 + 0.003, "{arms:?} {player:?}: {}", mean(&curve[..10]));
    }
}

#[test]
fn the_hand_made_rule_on_the_ideal_chip_is_near_thompson() {
    // Rates and starts by hand: try everything, then keep to what pays.
    let setting = setting(bandit(Arms::Independent), Kind::HandMade, Dls::ideal());
    let lives = setting.lives(&[3.0, 63.0, 0.08], 0..2000, Seed::new(5)).unwrap();
    let reward = mean(lives.iter().map(|life| mean(&life.rewards)));
    assert!(reward > 0.639 - 0.05, "{reward}");
}

#[test]
fn lives_follow_their_seed_on_both_chips() {
    let world: Mdp = MdpParams { decisions: 12, ..MdpParams::default() }.build().unwrap();
    let setting = setting(world, Kind::Td, Dls::default());
    let values = [2.0, 30.0, 0.2, 0.5, 0.3, 20.0];
    assert_eq!(setting.lives(&values, 0..3, Seed::new(1)).unwrap(), setting.lives(&values, 0..3, Seed::new(1)).unwrap());
    let (lives, seconds) = setting.lives_on_chip(&values, 0..2, Seed::new(1)).unwrap();
    assert_eq!((&lives, seconds), (&setting.lives_on_chip(&values, 0..2, Seed::new(1)).unwrap().0, seconds));
    assert!(lives.iter().all(|life| life.rewards.len() == 12) && seconds > 24.0 * 200e-6);
    assert_ne!(lives, setting.lives_on_chip(&values, 0..2, Seed::new(2)).unwrap().0);
    let small = setting.fitness(&[values.to_vec(), values.to_vec()], 0..4, Seed::new(1)).unwrap();
    assert_eq!(small[0], small[1], "the same tasks for all candidates");
}

/// A short outer loop makes the temporal-difference agent better than it begins.
#[test]
fn a_search_improves_an_agent() {
    let world = MdpParams { decisions: 60, ..MdpParams::default() }.build().unwrap();
    let setting = setting(world, Kind::Td, Dls::default());
    let mut search = Search::new(Kind::Td.space(), CrossEntropy { population: 20, ..Default::default() }, Seed::new(2)).unwrap();
    let mut first = Vec::new();
    for g in 0..12 {
        let fitness = setting.fitness(&search.ask(), 10 * g..10 * g + 10, Seed::new(4)).unwrap();
        if g == 0 {
            first.clone_from(&fitness);
        }
        search.tell(&fitness).unwrap();
    }
    let now = setting.fitness(&[search.stands()], 0..100, Seed::new(99)).unwrap()[0];
    assert!(now > mean(&first) + 0.2, "{now} {}", mean(&first));
}

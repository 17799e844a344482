use super::World;
use rand::{Rng, RngExt};
use rand_distr::{Beta, Distribution};
use snn_core::Seed;
use snn_data::{Action, Bandit, Environment};

use crate::error::ArchError;

/// Who plays a bandit with two arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Player {
    /// Pulls any arm.
    Random,
    /// Knows the arms.
    Oracle,
    /// Thompson sampling: draws each arm's probability from its posterior, and pulls the best (Thompson 1933).
    Thompson,
    /// The best there is if one arm is as good as the other is bad: every pull tells of both, so that the arm more probable to be good is pulled.
    Dependent,
}

impl Player {
    /// The next arm; `seen[arm]` are failures and successes.
    fn choose(self, seen: &[[u32; 2]; 2], arms: &[f64], rng: &mut impl Rng) -> usize {
        match self {
            Player::Random => rng.random_range(0..2),
            Player::Oracle => usize::from(arms[1] > arms[0]),
            Player::Thompson => {
                let draw = |[fail, win]: [u32; 2], rng: &mut _| {
                    Beta::new(f64::from(win) + 1.0, f64::from(fail) + 1.0).map_or(0.5, |b| b.sample(rng))
                };
                let p = seen.map(|arm| draw(arm, rng));
                usize::from(p[1] > p[0])
            }
            Player::Dependent => {
                let for_first = seen[0][1] + seen[1][0];
                usize::from(seen[0][0] + seen[1][1] > for_first)
            }
        }
    }
}

/// Mean reward of each pull over the episodes `0..episodes` of a bandit with two arms.
///
/// # Errors
/// If the bandit has another number of arms.
pub fn baseline(world: &Bandit, player: Player, episodes: u64, seed: Seed) -> Result<Vec<f64>, ArchError> {
    let mut world = world.clone();
    let mut mean = vec![0.0; world.horizon()];
    crate::error::check(world.arms().len() == 2, "baseline", "arms", world.arms().len(), "a bandit of two")?;
    debug_assert_eq!(world.states(), 1);
    for k in 0..episodes {
        world.reset(seed.nth(k).child("world"));
        let mut rng = seed.nth(k).child("player").rng();
        let (mut seen, arms) = ([[0; 2]; 2], world.arms().to_vec());
        for mean in &mut mean {
            let arm = player.choose(&seen, &arms, &mut rng);
            let reward = world.act(Action::Discrete(arm))?.reward;
            seen[arm][usize::from(reward > 0.5)] += 1;
            *mean += reward / episodes as f64;
        }
    }
    Ok(mean)
}

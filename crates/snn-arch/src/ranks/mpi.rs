use super::Ranks;
use mpi::environment::Universe;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::CommunicatorCollectives;

/// Ranks of an MPI job. A rank that panics ends the job: the others would wait for it for ever.
pub struct Mpi {
    world: SimpleCommunicator,
    /// MPI ends when this is dropped.
    _universe: Universe,
}

impl Mpi {
    /// Joins the job that `mpirun` started; a program started otherwise is a job of one. `None` if MPI was started before in this process.
    pub fn start() -> Option<Self> {
        let universe = mpi::initialize()?;
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            show(info);
            SimpleCommunicator::world().abort(101);
        }));
        Some(Mpi { world: universe.world(), _universe: universe })
    }
}

impl Ranks for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }
    fn size(&self) -> usize {
        self.world.size() as usize
    }
    fn all_gather(&self, mine: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; mine.len() * self.size()];
        self.world.all_gather_into(mine, &mut all[..]);
        all
    }
    fn abort(&self, code: i32) -> ! {
        self.world.abort(code)
    }
}

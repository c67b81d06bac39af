//! What goes wrong again and again: told once, and once that it is over.

/// Trouble, as far as it was told.
#[derive(Debug)]
pub struct Trouble {
    rounds: u32,
    /// After how many rounds in a row it is told.
    patience: u32,
    told: bool,
}

/// Something to be told: trouble, or that there is none any more.
pub type News = Option<Option<String>>;

/// What is over by the next round is not news: a lane is being started, a coordinator moves.
impl Default for Trouble {
    fn default() -> Self {
        Self { rounds: 0, patience: 2, told: false }
    }
}

impl Trouble {
    /// Told at once: rounds are far between.
    pub fn at_once() -> Self {
        Self { patience: 1, ..Self::default() }
    }

    /// Whether this is news: not each change of its words (offsets go on), but that there is trouble, or none any more.
    pub fn news(&mut self, trouble: Option<String>) -> News {
        let Some(trouble) = trouble else {
            self.rounds = 0;
            return std::mem::take(&mut self.told).then_some(None);
        };
        self.rounds += 1;
        if self.told || self.rounds < self.patience {
            return None;
        }
        self.told = true;
        Some(Some(trouble))
    }
}

//! What goes wrong in rounds, told once; and once more when it is over.

/// Trouble, as far as it was told. What is over by the next round is not news: a lane is being started, a coordinator moves.
#[derive(Debug, Default)]
pub struct Trouble {
    rounds: u32,
    told: bool,
}

/// Something to be told: trouble, or that there is none any more.
pub type News = Option<Option<String>>;

impl Trouble {
    /// Whether this is news: not each change of its words (offsets go on), but that there is trouble, or none any more.
    pub fn news(&mut self, trouble: Option<String>) -> News {
        let Some(trouble) = trouble else {
            self.rounds = 0;
            return std::mem::take(&mut self.told).then_some(None);
        };
        self.rounds += 1;
        if self.told || self.rounds < 2 {
            return None;
        }
        self.told = true;
        Some(Some(trouble))
    }
}

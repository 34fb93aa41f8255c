"""What a job achieved, in memory that does not grow with it."""

from dataclasses import dataclass, field

from rich.table import Table

from semantic_palette.writers.folder import PairRecord


@dataclass(slots=True)
class Summary:
    """Sums over the pairs of a folder."""

    pairs: int = 0
    kl_sum: float = 0.0
    kl_max: float = 0.0
    requested: dict[str, float] = field(default_factory=dict)
    """Sum of the shares of a class."""
    achieved: dict[str, float] = field(default_factory=dict)

    def add(self, record: PairRecord) -> None:
        """Counts a pair."""
        self.pairs += 1
        self.kl_sum += record.kl
        self.kl_max = max(self.kl_max, record.kl)
        for sums, shares in ((self.requested, record.requested), (self.achieved, record.achieved)):
            for name, share in shares.items():
                sums[name] = sums.get(name, 0.0) + share

    def tables(self, written: int, seconds: float) -> list[Table]:
        """Two tables: the pairs, their KL and the rate of this run; and the mean shares class by class."""
        totals = Table("pairs", "rate (pairs/s)", "mean KL", "max KL")
        rate = f"{written / seconds:.1f}" if written and seconds > 0 else "-"
        mean = self.kl_sum / max(1, self.pairs)
        totals.add_row(str(self.pairs), rate, f"{mean:.4f}", f"{self.kl_max:.4f}")
        shares = Table(
            "class", "requested (%)", "achieved (%)", "difference", title="mean shares", title_justify="left"
        )
        for column in shares.columns[1:]:
            column.justify = "right"
        for name in self.requested:
            requested, achieved = (100 * sums[name] / self.pairs for sums in (self.requested, self.achieved))
            shares.add_row(name, f"{requested:.2f}", f"{achieved:.2f}", f"{achieved - requested:+.2f}")
        return [totals, shares]

# Study 1 from a run's CSV files, in base R: one table and one figure.
#
#   Rscript docs/tutorials/analysis.R RUN OUT
#
# RUN is the folder of a run of study1-exp2; OUT gets cell-means.csv and cell-means.pdf.

args <- commandArgs(trailingOnly = TRUE)
if (length(args) != 2) stop("usage: Rscript analysis.R RUN OUT")
run <- args[1]
out <- args[2]
dir.create(out, showWarnings = FALSE, recursive = TRUE)

# --- Read ---------------------------------------------------------------------------------------------

# Conditions are factors, not numbers: read them as text.
trials <- read.csv(file.path(run, "trials.csv"), colClasses = "character", na.strings = "", encoding = "UTF-8")
names(trials)[names(trials) == "speech"] <- "speach"
trials$trial_id <- seq_len(nrow(trials))
# Trials with the same text have the same answer: they are one observation.
trials$stimulus <- as.integer(factor(paste(trials$story_setup, trials$priorQ, trials$speach, sep = "\r")))

files <- list.files(run, pattern = "_study1_probabilities_.*_long\\.csv$", full.names = TRUE)
if (length(files) != 1) stop("expected one table *_study1_probabilities_*_long.csv in ", run)
long <- read.csv(files, colClasses = c(option = "character"), na.strings = "", encoding = "UTF-8")
failed <- unique(long[long$status != "ok", c("trial_id", "question", "status")])
if (nrow(failed)) message(nrow(failed), " questions have no answer")

# --- Bets ---------------------------------------------------------------------------------------------

# Bets need all four states. A trial that lacks only its knowledge question stays.
lost <- unique(failed$trial_id[grepl("^state[0-3]$", failed$question)])
if (length(lost)) message(length(lost), " trials lack a state and are left out")
states <- long[grepl("^state[0-3]$", long$question) & !(long$trial_id %in% lost), ]
states$value <- states$prob_norm * as.numeric(states$option)
percentage <- aggregate(value ~ trial_id + question, states, sum)
# The four percentages, as dollars of 100.
percentage$bet <- 100 * percentage$value / ave(percentage$value, percentage$trial_id, FUN = sum)
percentage$state <- as.integer(sub("state", "", percentage$question))
bets <- merge(percentage, trials[c("trial_id", "stimulus", "access", "observe")], by = "trial_id")

# --- Table --------------------------------------------------------------------------------------------

# The 95% interval of a share with a cluster-robust error: Clopper and Pearson's for the effective number of
# observations. Near 0 and 1 it is at least as long as that of one answer per cluster.
bounded <- function(share, error, clusters, choices) {
  if (clusters <= 1) return(c(NA, NA))
  variance <- (error * qt(0.975, clusters - 1) / qnorm(0.975))^2
  size <- min(if (variance > 0) share * (1 - share) / variance else Inf, 1e5 * clusters, choices)
  lower <- function(cases) {
    exact <- if (cases > 1e-9) qbeta(0.025, cases, size - cases + 1) else 0
    min(exact, 0.025^(1 / (clusters * max(1, (size - cases) / 10))))
  }
  c(lower(share * size), 1 - lower((1 - share) * size))
}

# A mean over trials, with a 95% interval whose observations are the stimuli.
clustered <- function(rows) {
  bet <- rows$bet / 100
  weight <- table(rows$stimulus) / nrow(rows)
  pull <- tapply(bet - mean(bet), rows$stimulus, sum) / nrow(rows)
  se <- if (length(pull) > 1) sqrt(sum(pull^2 / (1 - weight))) else NA
  # If all bets are 0 or 100, the effective number is at most the number of trials.
  choices <- if (all(bet %in% c(0, 1))) nrow(rows) else Inf
  ends <- 100 * bounded(mean(bet), se, 1 / sum(weight^2), choices)
  data.frame(
    rows[1, c("access", "observe", "state")],
    mean = mean(rows$bet), low = ends[1], high = ends[2], n = nrow(rows), n_distinct = length(pull)
  )
}
cells <- do.call(rbind, lapply(split(bets, list(bets$access, bets$observe, bets$state), drop = TRUE), clustered))
cells <- cells[order(cells$access, cells$observe, cells$state), ]
write.csv(cells, file.path(out, "cell-means.csv"), row.names = FALSE)
print(format(cells, digits = 3), row.names = FALSE)

# --- Figure -------------------------------------------------------------------------------------------

pdf(file.path(out, "cell-means.pdf"), width = 7, height = 6)
par(mfrow = c(3, 3), mar = c(3.2, 3.2, 2, 0.5), mgp = c(2, 0.6, 0), las = 1)
for (observe in c("1", "2", "3")) {
  for (access in c("1", "2", "3")) {
    cell <- cells[cells$access == access & cells$observe == observe, ]
    if (!nrow(cell)) {
      plot.new()
      next
    }
    middle <- barplot(
      cell$mean,
      names.arg = cell$state, ylim = c(0, 100), col = "grey80", border = NA,
      xlab = "state", ylab = "bet ($)", main = paste0("access ", access, ", said ", observe)
    )
    arrows(middle, cell$low, middle, cell$high, angle = 90, code = 3, length = 0.03)
  }
}
invisible(dev.off())

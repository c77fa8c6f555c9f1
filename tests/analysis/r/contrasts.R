# One-tailed paired t tests in which every trial counts the same: a pair has as much weight as it has trials.
# With as many trials in each pair they are those of t.test, which is checked here. Holm-adjusted.
args <- commandArgs(TRUE)
d <- read.csv(args[1])
rows <- do.call(rbind, lapply(split(d, d$contrast), function(pairs) {
  difference <- pairs$greater - pairs$lesser
  w <- pairs$n / sum(pairs$n)
  mean <- sum(w * difference)
  se <- sqrt(sum((w * (difference - mean))^2 / (1 - w)))
  t <- mean / se
  df <- 1 / sum(w^2) - 1
  p <- pt(t, df, lower.tail = FALSE)
  if (length(unique(pairs$n)) == 1) {
    one <- t.test(pairs$greater, pairs$lesser, paired = TRUE, alternative = "greater")
    stopifnot(all.equal(c(t, df, p), unname(c(one$statistic, one$parameter, one$p.value))))
    stopifnot(all.equal(t / sqrt(df + 1), base::mean(difference) / sd(difference)))
  }
  data.frame(contrast = pairs$contrast[1], difference = mean, t = t, df = df, p = p, d_z = t / sqrt(df + 1), low = mean - qt(0.975, df) * se, high = mean + qt(0.975, df) * se)
}))
rows$p_holm <- p.adjust(rows$p, "holm")
write.csv(rows, args[2], row.names = FALSE)

# One-tailed paired t tests, their Holm-adjusted p values and two-sided intervals.
args <- commandArgs(TRUE)
d <- read.csv(args[1])
rows <- do.call(rbind, lapply(split(d, d$contrast), function(pairs) {
  one <- t.test(pairs$greater, pairs$lesser, paired = TRUE, alternative = "greater")
  two <- t.test(pairs$greater, pairs$lesser, paired = TRUE)
  difference <- pairs$greater - pairs$lesser
  data.frame(
    contrast = pairs$contrast[1], t = unname(one$statistic), df = unname(one$parameter), p = one$p.value,
    low = two$conf.int[1], high = two$conf.int[2], d_z = mean(difference) / sd(difference)
  )
}))
rows$p_holm <- p.adjust(rows$p, "holm")
write.csv(rows, args[2], row.names = FALSE)

# Exact binomial tests, Holm-adjusted, with intervals of Clopper and Pearson.
args <- commandArgs(TRUE)
d <- read.csv(args[1])
rows <- do.call(rbind, lapply(seq_len(nrow(d)), function(i) {
  test <- binom.test(d$k[i], d$n[i], d$chance[i], alternative = sub("-", ".", d$alternative[i]))
  span <- binom.test(d$k[i], d$n[i])$conf.int
  data.frame(p = test$p.value, low = span[1], high = span[2])
}))
rows$p_holm <- p.adjust(rows$p, "holm")
write.csv(rows, args[2], row.names = FALSE)

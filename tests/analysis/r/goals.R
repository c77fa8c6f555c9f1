# Goals compared within items: paired t tests, and the analysis of variance with items as blocks.
args <- commandArgs(TRUE)
d <- read.csv(args[1])
states <- c("0 hearts", "1 heart", "2 hearts", "3 hearts")
tests <- do.call(rbind, lapply(c("social", "informational"), function(against) {
  do.call(rbind, lapply(c(as.list(states), list(states)), function(own) {
    mean_of <- function(goal) with(d[d$goal == goal & d$state %in% own, ], tapply(y, item, mean))
    test <- t.test(mean_of("both"), mean_of(against), paired = TRUE)
    data.frame(what = "test", a = unname(test$estimate), b = unname(test$statistic), c = unname(test$parameter), d = test$p.value)
  }))
}))
tests$e <- p.adjust(tests$d, "holm")
found <- summary(aov(y ~ goal * state + Error(factor(item)), d))[["Error: Within"]][[1]]
ss <- found[["Sum Sq"]]
effects <- data.frame(
  what = "effect", a = ss[1:3], b = found[["Df"]][1:3], c = found[["F value"]][1:3], d = found[["Pr(>F)"]][1:3],
  e = ss[1:3] / (ss[1:3] + ss[4])
)
write.csv(rbind(tests, effects), args[2], row.names = FALSE)

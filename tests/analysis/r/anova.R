# Type II tests of access and observe, from comparisons of nested linear models, with blocks or without.
args <- commandArgs(TRUE)
d <- read.csv(args[1], colClasses = c(access = "character", observe = "character"))
blocks <- "block" %in% names(d)
fit <- function(terms) lm(reformulate(c(if (blocks) "factor(block)", terms), "y"), d)
full <- fit("factor(access) * factor(observe)")
additive <- fit(c("factor(access)", "factor(observe)"))
# The largest model of a comparison gives its error.
tests <- list(
  access = anova(fit("factor(observe)"), additive, full),
  observe = anova(fit("factor(access)"), additive, full),
  "access:observe" = anova(additive, full)
)
rows <- do.call(rbind, lapply(names(tests), function(name) {
  table <- tests[[name]]
  data.frame(
    effect = name, ss = table[2, "Sum of Sq"], df = table[2, "Df"], f = table[2, "F"], p = table[2, "Pr(>F)"]
  )
}))
rows <- rbind(rows, data.frame(effect = "residual", ss = deviance(full), df = df.residual(full), f = NA, p = NA))
# Partial eta squared, from F and its degrees of freedom.
rows$eta_p2 <- rows$f * rows$df / (rows$f * rows$df + df.residual(full))
# Where every participant has every cell, aov's stratum within participants is the same residual.
if (blocks) {
  strata <- summary(aov(y ~ factor(access) * factor(observe) + Error(factor(block)), d))
  within <- strata[["Error: Within"]][[1]]
  rows$within_df <- within[nrow(within), "Df"]
  rows$within_ss <- within[nrow(within), "Sum Sq"]
}
write.csv(rows, args[2], row.names = FALSE)

# Variance components of items, ways of asking and their interactions with a condition.
args <- commandArgs(TRUE)
suppressPackageStartupMessages(library(lme4))
d <- read.csv(args[1], stringsAsFactors = TRUE)
control <- lmerControl(optCtrl = list(ftol_abs = 1e-15, xtol_abs = 1e-12), check.conv.singular = "ignore")
fit <- lmer(value ~ 0 + condition + (1 | item) + (1 | item:condition) + (1 | order) + (1 | wording) + (1 | way)
            + (1 | order:condition) + (1 | wording:condition) + (1 | item:way), d, control = control)
table <- as.data.frame(VarCorr(fit))
small <- lmer(value ~ 1 + (1 | item) + (1 | order), subset(d, condition == "few"), control = control)
ends <- confint(small, method = "profile", quiet = TRUE)^2
write.csv(rbind(
  data.frame(component = sub("^way:item$", "item:way", table$grp), variance = table$vcov, low = NA, high = NA),
  data.frame(component = paste("small", c("item", "order", "residual")), variance = NA,
             low = ends[c(".sig01", ".sig02", ".sigma"), 1], high = ends[c(".sig01", ".sig02", ".sigma"), 2])
), args[2], row.names = FALSE)

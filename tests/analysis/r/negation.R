# The mixed model by lme4, and plain logistic regression with a sandwich of clusters, raised by
# G / (G - 1); terms, the comparisons of goals, and Wald tests of the interaction.
suppressMessages(library(lme4))
args <- commandArgs(TRUE)
d <- read.csv(args[1])
d$goal <- factor(d$goal, levels = c("informational", "social", "both"))
d$state <- factor(d$state, levels = c("0 hearts", "1 heart", "2 hearts", "3 hearts"))
d$cell <- droplevels(interaction(d$goal, d$state, sep = "|"))
control <- glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-9), tolPwrss = 1e-10)
terms <- read.csv(args[2])
intercepts <- strsplit(terms$random[1], " ")[[1]]
d$item_cell <- interaction(d$item, d$cell)
formula <- reformulate(c("0 + cell", sprintf("(1 | %s)", intercepts)), "y")
mixed <- glmer(formula, d, family = binomial, control = control)
plain <- glm(y ~ 0 + cell, d, family = binomial, epsilon = 1e-14)
x <- model.matrix(plain)
score <- x * (d$y - fitted(plain))
meat <- crossprod(rowsum(score, d$cluster))
bread <- solve(crossprod(x, x * (fitted(plain) * (1 - fitted(plain)))))
g <- length(unique(d$cluster))
sandwich <- bread %*% meat %*% bread * g / (g - 1)
contrast <- function(estimate, covariance, goal, state) {
  names(estimate) <- sub("^cell", "", names(estimate))
  dimnames(covariance) <- list(names(estimate), names(estimate))
  base <- "informational|0 hearts"
  w <- setNames(rep(0, length(estimate)), names(estimate))
  add <- function(w, cell, sign) { w[cell] <- w[cell] + sign; w }
  w <- add(w, paste(goal, state, sep = "|"), 1)
  if (goal != "informational" && state != "0 hearts") {
    w <- add(add(add(w, paste(goal, "0 hearts", sep = "|"), -1), paste("informational", state, sep = "|"), -1), base, 1)
  } else if (paste(goal, state, sep = "|") != base) {
    w <- add(w, base, -1)
  }
  c(sum(w * estimate), sqrt(drop(t(w) %*% covariance %*% w)))
}
rows <- do.call(rbind, lapply(seq_len(nrow(terms)), function(i) {
  m <- contrast(fixef(mixed), as.matrix(vcov(mixed)), terms$goal[i], terms$state[i])
  g <- contrast(coef(plain), sandwich, terms$goal[i], terms$state[i])
  data.frame(term = terms$term[i], mixed = m[1], mixed_se = m[2], gee = g[1], gee_se = g[2])
}))
spread <- as.data.frame(VarCorr(mixed))
for (name in intercepts) rows[[paste0("sd_", name)]] <- spread$sdcor[spread$grp == name]
# The interaction: what the additive model of the cells cannot reach.
cells <- do.call(rbind, strsplit(sub("^cell", "", names(coef(plain))), "|", fixed = TRUE))
additive <- qr(model.matrix(~ goal + state, data.frame(goal = cells[, 1], state = cells[, 2])))
beyond <- qr.Q(additive, complete = TRUE)[, -seq_len(additive$rank), drop = FALSE]
wald <- function(b, v) {
  effect <- drop(t(beyond) %*% b)
  sum(effect * solve(t(beyond) %*% v %*% beyond, effect))
}
v <- as.matrix(vcov(mixed))
rows$chi2_mixed <- wald(fixef(mixed), v)
rows$chi2_gee <- wald(coef(plain), sandwich)
rows$df <- ncol(beyond)
# Both against social at all states, where all cells are there.
w <- (cells[, 1] == "both") / 4 - (cells[, 1] == "social") / 4
rows$both <- sum(w * fixef(mixed))
rows$both_se <- sqrt(drop(t(w) %*% v %*% w))
rows$both_gee <- sum(w * coef(plain))
rows$both_gee_se <- sqrt(drop(t(w) %*% sandwich %*% w))
write.csv(rows, args[3], row.names = FALSE)
